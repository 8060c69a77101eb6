"""A small deployment of the semantic layer: real decider, memory, index and embedder over constructed traffic."""

import itertools
import random

from hapenny.caching.semantic.decider import Decider, Promise
from hapenny.caching.semantic.memory import Memory
from hapenny.caching.semantic.terms import read
from hapenny.vectors import ExactIndex
from tests.caching.conftest import HandClock


class Rig:
    def __init__(self, embedder, promise, *, fixed=None):
        self.embedder = embedder
        self.decider = Decider(promise, HandClock(), fixed=fixed)
        self.memory, self.index = Memory(), ExactIndex(embedder.dim)
        self.labels = {}
        self.count = 0

    def near(self, vector):
        hits = self.index.search(vector, 24)
        return self.memory.neighbours(hits.keys.tolist(), hits.scores.tolist())

    def look(self, question, **rest):
        vector = self.embedder.encode([question])[0]
        return self.decider.look(read(question), self.near(vector), self.memory, **rest), vector

    def ask(self, question, label):
        """One request: the label it was served, or None after it was answered, verified and stored."""
        looked, vector = self.look(question)
        if looked.action == "serve":
            return self.labels[looked.candidate.entry]
        steps = self.decider.verify(looked, self.memory)
        answer = None
        try:
            entry = next(steps)
            while True:
                entry = steps.send(self.labels[entry] == label)
        except StopIteration as done:
            answer = done.value
        self.store(question, label, vector, answer)
        return None

    def store(self, question, label, vector=None, answer=None):
        vector = self.embedder.encode([question])[0] if vector is None else vector
        self.memory.add(self.count, read(question), answer)
        self.index.add([self.count], vector[None, :])
        self.labels[self.count] = label
        self.count += 1


OPENINGS = ["", "hi, ", "please: ", "could you tell me ", "I want to know ", "quick question: ", "hello! "]
CLOSINGS = ["", " please", " thanks", " today", " right now", ", any idea"]
PLAIN = {
    "hours": ["what are your opening hours", "when do you open", "at what time does the shop open"],
    "returns": ["how do I return an item", "how can I send something back", "what is the return procedure"],
    "password": ["how do I reset my password", "I forgot my password", "help me change a lost password"],
    "invoice": ["where do I find my invoice", "how to download an invoice", "get me the bill for a purchase"],
    "gift": ["do you sell gift cards", "can I buy a gift voucher", "are there gift certificates"],
    "vip": ["how do I join the loyalty programme", "sign up for the rewards club", "become a member of rewards"],
}
CITIES = ["paris", "london", "berlin", "madrid", "rome", "vienna", "oslo", "dublin", "lisbon", "prague"]
NAMES = ["anna", "bruno", "clara", "david", "elena", "frank", "grace", "henry", "irene", "jonas"]


def traffic(seed=3):
    """Constructed: plain questions share one answer by intent; those with a slot have one answer by slot value."""
    chance = random.Random(seed)
    plain = [
        (opening + core + closing, label)
        for label, cores in PLAIN.items()
        for opening, core, closing in itertools.product(OPENINGS, cores, CLOSINGS)
    ]
    slots = []
    for number in range(1000, 1120):
        slots.append((f"where is order {number}", f"order:{number}"))
    for city, template in itertools.product(
        CITIES, ["what is the weather in {}", "will it rain in {} tomorrow", "{} weather"]
    ):
        slots.append((template.format(city), f"weather:{template[:5]}:{city}"))
    for one, other in itertools.permutations(NAMES[:7], 2):
        slots.append((f"transfer ten euros from {one} to {other}", f"transfer:{one}:{other}"))
    for name in NAMES:
        slots.append((f"what is the phone number of {name}", f"phone:{name}"))
        slots.append((f"can {name} see my account", f"see:{name}"))
        slots.append((f"can {name} not see my account", f"unsee:{name}"))
    both = plain + slots
    chance.shuffle(both)
    return both


def trained(embedder, promise=None):
    rig = Rig(embedder, promise or Promise(max_error=0.02))
    served = wrong = 0
    for question, label in traffic():
        got = rig.ask(question, label)
        served += got is not None
        wrong += got is not None and got != label
    rig.served, rig.wrong, rig.requests = served, wrong, len(traffic())
    return rig
