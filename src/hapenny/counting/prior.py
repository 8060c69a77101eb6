"""Prior weights for counting without a vocabulary (made by `benchmarks/tokens/fit_prior.py`)."""

BYTES_ONLY: tuple[float, ...] = (
    0.000,  # request
    0.534,  # segments
    0.000,  # base_plain
    0.000,  # base_structure
    0.000,  # base_accented
    0.000,  # base_cjk
    0.092,  # lower
    0.154,  # upper
    0.019,  # digit
    0.171,  # space
    0.120,  # line
    0.013,  # quote
    -0.105,  # punct
    0.358,  # continuation
    0.051,  # lead2
    -0.334,  # lead_vi
    -0.049,  # lead_kana
    0.323,  # lead_han
    0.213,  # lead_other
    0.178,  # upper_runs
    0.476,  # space_runs
    -0.210,  # space_punct
    0.937,  # punct_runs
    0.120,  # line_runs
    0.615,  # camel
    0.486,  # joined_words
    -0.036,  # accented_inside
    0.563,  # letter_digit
    -0.023,  # upper_pairs
    0.343,  # quote_pairs
    0.060,  # words_3
    -0.059,  # words_6
    -0.172,  # words_9
    -0.084,  # words_long
    0.515,  # digit_runs
    0.694,  # digit_triples
    0.000,  # tools
)
