"""Weights of the relevance scorer (made by `benchmarks/tokens/fit_pruner.py`)."""

LEXICAL: tuple[float, ...] = (
    -0.093,  # unit
    -0.082,  # unit_best
    0.123,  # titled
    0.950,  # titled_best
    -0.239,  # coverage
    1.481,  # covered_title
    0.121,  # passage
    0.863,  # passage_best
    1.026,  # passage_rank
    0.528,  # passage_cover
    0.170,  # before
    -0.083,  # after
    -0.450,  # near
    -0.003,  # wide
    0.162,  # wide_best
    0.395,  # first
    0.086,  # second
    -0.112,  # place
    0.267,  # pairs
    -0.701,  # rare
    -0.053,  # names_asked
    2.309,  # title_asked
    -0.122,  # title_linked
    0.265,  # links_title
    0.569,  # expansion
    0.687,  # length
    -0.824,  # short
    1.054,  # number
    2.660,  # year
    1.904,  # name
    1.565,  # place_name
    -0.045,  # digits
    -0.097,  # names
    0.090,  # open_first
    -1.473,  # long_unit
    0.541,  # long_wide
    2.577,  # long_wider
    0.735,  # alone
    0.197,  # known
    0.111,  # said_to_be
    0.717,  # reason
    0.427,  # mentioned_first
    2.607,  # bridge
    0.641,  # bridge_first
    0.487,  # bridge_left
    1.169,  # with_before
    1.296,  # with_after
)

VECTORS: tuple[float, ...] = (
    0.492,  # lexical
    0.236,  # cosine
    0.177,  # cosine_best
    0.948,  # cosine_near
    0.979,  # cosine_passage
    0.034,  # cosine_lexical
)
