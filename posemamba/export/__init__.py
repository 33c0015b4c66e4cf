"""What other programs open: lifted motion, and the network itself."""
