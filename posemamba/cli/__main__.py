from posemamba.cli import main

main()
