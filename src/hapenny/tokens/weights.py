"""Weights of the relevance scorer (made by `benchmarks/tokens/fit_pruner.py`)."""

LEXICAL: tuple[float, ...] = (
    -0.100,  # unit
    -0.018,  # unit_best
    0.170,  # titled
    1.077,  # titled_best
    0.157,  # coverage
    2.089,  # covered_title
    0.196,  # passage
    0.958,  # passage_best
    1.043,  # passage_rank
    0.760,  # passage_cover
    0.423,  # before
    0.168,  # after
    -0.375,  # near
    -0.202,  # wide
    0.127,  # wide_best
    0.513,  # first
    0.044,  # second
    -0.120,  # place
    0.307,  # pairs
    -0.196,  # rare
    -0.010,  # names_asked
    2.090,  # title_asked
    0.659,  # title_linked
    0.134,  # links_title
    0.632,  # expansion
    0.793,  # length
    -0.801,  # short
    1.081,  # number
    2.717,  # year
    1.900,  # name
    1.412,  # place_name
    -0.017,  # digits
    -0.109,  # names
    0.101,  # open_first
    -1.545,  # long_unit
    0.763,  # long_wide
    2.473,  # long_wider
    0.783,  # alone
)

VECTORS: tuple[float, ...] = (
    0.457,  # lexical
    0.232,  # cosine
    0.203,  # cosine_best
    0.788,  # cosine_near
    0.834,  # cosine_passage
    0.160,  # cosine_lexical
    0.358,  # lexical, long question
    -0.386,  # cosine, long question
    -0.289,  # cosine_best, long question
    -0.331,  # cosine_near, long question
    -0.851,  # cosine_passage, long question
    0.028,  # cosine_lexical, long question
)
