"""What a trained scan looks at: the map it applies to its input, written out as a matrix (Figure 5).

`maps` has the map of one block's scan, `depth` that of the whole network with its choices held fixed, and
`relevance` sets the latter beside the gradient, for one output. All work from `PoseMamba.capture`'s records.
"""

from posemamba.attention.depth import Linearisation, linearise
from posemamba.attention.maps import channel_map, frame_map, joint_map, normalise, token_map
from posemamba.attention.relevance import Relevance, relevance

__all__ = ["Linearisation", "Relevance", "channel_map", "frame_map", "joint_map", "linearise", "normalise"]
__all__ += ["relevance", "token_map"]
