"""Moving tiles of TILE tokens by LANES channels between the caller's arrays and the kernels' own.

A kernel's tile is (TILE, LANES), a token a row. The caller's array has the tokens as its rows or, `turned`,
the channels: then squares are transposed in registers on the way. A tile may stick out over the end of the
sequence or past the last channel; what sticks out reads as 0 and is not written.
"""

from numba import njit

from posemamba.scan.cpu.lanes import LANES, called, get, load, prefetch, put, store, transpose

# For functions that only kernels call: Python never does, so no way in from there is compiled.
helper = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")

#: Tokens in a tile; a multiple of LANES.
TILE = 32


@helper
def locate(reads, mixes, B, C, delta, k, first, size, places):
    """Fill places: row 0 the tokens of a tile, row 1 those mixed in or -1, rows 2 to 4 bytes to the tokens in
    B, C and delta. Without rows in reads, place i is token i."""
    called()
    for i in range(size):
        token = reads[k, first + i] if len(reads) > 0 else first + i
        if len(mixes) > 0:
            places[1, i] = mixes[k, first + i]
        places[0, i], places[2, i] = token, token * B.strides[0]
        places[3, i], places[4, i] = token * C.strides[0], token * delta.strides[0]


@helper
def expect(array, turned, reads, k, first, size, channel, width):
    """Have the memory send a tile that will be wanted soon: its rows lie too far apart to be foreseen."""
    called()
    if turned:
        for c in range(width):
            for i in range(0, size, LANES):
                prefetch(array, channel + c, first + i)
    else:
        for i in range(size):
            for c in range(0, width, LANES):
                prefetch(array, reads[k, first + i] if len(reads) > 0 else first + i, channel + c)


@helper
def gather(source, turned, places, size, channel, width, cache, tile):
    """cache[tile + i, c] = source[token i, channel + c], or source[channel + c, token i] where it is turned:
    then tokens must be neighbours."""
    called()
    if width == LANES and not turned:
        for i in range(size):
            put(cache, tile + i, load(source, places[0, i], channel))
    elif width == LANES and size == TILE:
        for i in range(0, TILE, LANES):
            transpose(source, channel, places[0, i], cache, tile + i)
    else:
        cache[tile : tile + TILE] = 0
        for i in range(size):
            for c in range(width):
                row, column = (channel + c, places[0, i]) if turned else (places[0, i], channel + c)
                cache[tile + i, c] = source[row, column]


@helper
def scatter(cache, tile, target, turned, places, size, channel, width, add):
    """The way back: write a tile, or add it to what is there."""
    called()
    if width == LANES and not turned:
        for i in range(size):
            row = get(cache, tile + i)
            if add:
                row = row + load(target, places[0, i], channel)
            store(target, places[0, i], channel, row)
    elif width == LANES and size == TILE and not add:
        for i in range(0, TILE, LANES):
            transpose(cache, tile + i, 0, target[:, places[0, i] :], channel)
    else:
        for i in range(size):
            for c in range(width):
                row, column = (channel + c, places[0, i]) if turned else (places[0, i], channel + c)
                target[row, column] = cache[tile + i, c] + (target[row, column] if add else 0)


@helper
def mix(source, places, size, channel, width, cache, tile, back):
    """Add the mixed-in tokens to a tile or, going back, the tile to the mixed-in tokens."""
    called()
    for i in range(size):
        other = places[1, i]
        if other >= 0 and width == LANES:
            if back:
                store(source, other, channel, load(source, other, channel) + get(cache, tile + i))
            else:
                put(cache, tile + i, get(cache, tile + i) + load(source, other, channel))
        elif other >= 0:
            for c in range(width):
                if back:
                    source[other, channel + c] += cache[tile + i, c]
                else:
                    cache[tile + i, c] += source[other, channel + c]
