import sys

from tools.drawings import main

sys.exit(main())
