import pytest

from hapenny.retrieval.analysis import analyser, detect
from hapenny.retrieval.decompose import decompose
from hapenny.retrieval.lexical import Terms
from hapenny.retrieval.noise import learn
from hapenny.retrieval.query import keywords, prepare, relevant
from hapenny.retrieval.retriever import Retriever
from hapenny.retrieval.rewrite import standalone
from hapenny.retrieval.settings import Settings


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A boy befriends a giant robot", "en"),
        ("Một cậu bé kết bạn với người máy khổng lồ từ vũ trụ", "vi"),
        ("少年が巨大なロボットと友だちになる", "ja"),
        ("Мальчик подружился с огромным роботом", "other"),
    ],
)
def test_the_language_of_a_collection_is_detected(text, language):
    assert detect([text]) == language


def test_english_terms_meet_across_forms_and_accents():
    english = analyser("en")
    assert set(english.stems("The running Cafés")) == set(english.stems("cafe runs"))
    assert "the" in english.words("The Robots")
    assert english.words("Spider-Man") == ["spider", "man"]


def test_vietnamese_terms_are_syllables_and_pairs():
    assert analyser("vi").stems("Người máy lớn") == ["người", "máy", "lớn", "người_máy", "máy_lớn"]


def test_japanese_terms_are_bigrams_and_latin_words():
    assert analyser("ja").stems("猫型ロボット Robots") == ["猫型", "型ロ", "ロボ", "ボッ", "ット", "robot"]


@pytest.mark.parametrize(
    ("history", "query", "expected"),
    [
        (["What is throat cancer?"], "Is it treatable?", "Is throat cancer treatable?"),
        (["Tell me about lung cancer."], "What are its symptoms?", "What are lung cancer's symptoms?"),
        (["What is the Stanford Experiment?"], "Why was it important?", "Why was Stanford Experiment important?"),
        (["What is blockchain?"], "What are the advantages?", "What are the advantages of blockchain?"),
        (
            ["What was the Stanford Experiment?", "What did it show?"],
            "Tell me about the author of the experiment.",
            "Tell me about the author of the Stanford Experiment.",
        ),
        (["What is taurine?", "Tell me about Red Bull."], "Can it kill you?", "Can Red Bull kill you?"),
    ],
)
def test_references_are_resolved_from_the_history(history, query, expected):
    made = standalone(query, history)
    assert made.changed
    assert made.text == expected


@pytest.mark.parametrize("query", ["What causes lung cancer?", "Who is Ada Lovelace?", "How do solar panels work?"])
def test_a_question_that_stands_alone_stays_as_it_is(query):
    assert standalone(query, ["What is throat cancer?"]).text == query


def test_the_last_answer_gives_the_focus_when_no_question_does():
    assert standalone("Where does it live?", [], "The Axolotl is a salamander.").text == "Where does Axolotl live?"


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("compare iPhone 15 and Galaxy S24", ["iPhone 15", "Galaxy S24"]),
        ("What is the difference between soup and stew?", ["soup", "stew"]),
        ("Tìm tai nghe Sony và loa JBL", ["tai nghe Sony", "loa JBL"]),
        ("What is blockchain and how does it work?", ["What is blockchain", "how does it work?"]),
        ("Could Lil Wayne visit New Jersey?", ["What is Lil Wayne?", "What is New Jersey?"]),
    ],
)
def test_compound_questions_are_split(query, parts):
    assert decompose(query) == parts


@pytest.mark.parametrize("query", ["how do magnets work", "best running shoes and socks", "What causes rain?"])
def test_questions_about_one_thing_stay_whole(query):
    assert decompose(query) == [query]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Hi there, can you please tell me about the return policy? Thanks!", "the return policy?"),
        ("Xin chào shop, cho tôi hỏi giá tai nghe Sony", "giá tai nghe Sony"),
        ("hello", "hello"),
        ("please please me", "please please me"),
    ],
)
def test_what_the_collection_cannot_answer_is_dropped(text, kept):
    assert relevant(text) == kept


def test_a_prepared_query_says_what_was_done():
    made = prepare("Hello, how does it compare with Docker?", ["What is a virtual machine?"])
    assert made.text == "how does virtual machine compare with Docker?"
    assert made.steps == ("irrelevant", "references")


def test_noise_words_are_those_the_relevant_documents_do_not_hold():
    documents = {"Iron Man": "iron man armour", "Up": "up house balloons", "Her": "her operating system"}
    examples = [(f"{title} netflix", [text]) for title, text in documents.items()] * 4
    found = learn(examples, analyser("en"), least=5)
    assert "netflix" in found
    assert not {"iron", "man", "up"} & found
    terms = Terms.of("iron man netflix", analyser("en"), found)
    assert terms.words == ("iron", "man")
    assert Terms.of("netflix", analyser("en"), found).words == ("netflix",)


def test_keywords_are_the_rarest_known_terms(store):
    terms = Terms.of("a lonely robot falls in love somewhere", store.analyser)
    found = keywords(terms, store)
    assert found[0] == "lone"
    assert found.index("lone") < found.index("robot")
    assert "somewher" not in found


@pytest.mark.parametrize(
    ("text", "found"), [("ironman", "2"), ("lovve", "7"), ("rboot", "5"), ("billionaire", "2"), ("zzzzzz", None)]
)
def test_unknown_words_are_brought_into_the_collections_vocabulary(store, text, found):
    settings = Settings(repair=True, style={"bot": "robot"})
    retriever = Retriever(store, settings)
    leg = store.lexical(retriever.terms(text), 1, settings.boosts)
    assert [document.id for document in store.fetch(leg.rows.tolist())] == ([found] if found else [])
    plain = Retriever(store, Settings())
    assert plain.terms(text).words == (text,)


def test_the_users_words_are_mapped_to_the_collections(store):
    retriever = Retriever(store, Settings(style={"bot": "robot"}))
    assert retriever.terms("lonely BOT").words == ("lonely", "robot")
