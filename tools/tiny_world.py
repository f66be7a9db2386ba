#!/usr/bin/env python3
"""Generator of the tiny world: short stories to train on and the multiple-choice set.

A story states a few facts (who owns what, what lies where, who goes where), may
change them (swap, hand over, move, follow), rambles about the weather, and then
asks for something that only the facts at its beginning decide.

    python tools/tiny_world.py stories --count 5 --seed 1
    python tools/tiny_world.py questions --out models/tiny/questions.jsonl

Needs the standard library only; the same seed always gives the same text.
"""
import argparse
import json
import random
import sys
from dataclasses import dataclass

NAMES = "Mia Tom Ana Sam Leo Eva Ben Ida Max Zoe Kai Nell Otto Rosa Hugo Vera".split()
THINGS = "key coin rope lamp book drum kite bell cup map ring shell pear flute knife candle".split()
COLOURS = "red blue green white black brown pink yellow".split()
PLACES = "barn mill garden tower market school bridge forest harbour cellar stable chapel".split()
CONTAINERS = "box jar bag sack chest basket drawer bucket".split()

ANIMALS = "dog cat goat horse fox hen owl crow mouse frog duck sheep".split()
MOODS = "young lazy hungry sleepy happy shy little clever lonely tired proud merry".split()
DOINGS = "sleeps sits waits plays hides rests sings dreams stands eats".split()
SPOTS = ("under the oak", "by the warm stove", "near the quiet pond", "behind the stone wall",
         "on the long road", "in the tall grass", "beside the small stream", "below the stairs",
         "between two carts", "over there", "close to the gate", "in front of the house")
WEATHER = ("the rain falls", "the wind blows hard", "the sun shines", "fresh snow covers the hills",
           "thin clouds drift past", "the air is cold", "the moon is bright", "thunder rolls far away",
           "leaves turn in the air", "it gets dark", "the night is clear", "fog hangs over the fields")
OPENINGS = ("", "", "", "", "It is morning.", "Spring has come.", "It is a holiday.",
            "This happened last summer.", "Listen to this short tale.")

TRAIN_SEED = 1
QUESTION_SEED = 20_000_003
QUESTION_COUNT = 480
MAX_CONTEXT = 54       # words and punctuation marks
OPENING_CONTEXT = 50   # no opening where the story is longer than this with it

# How many questions of each kind in every 24: the easy ones need one fact, the
# hard ones two or three, so a small model gets most but not all of them right.
QUESTION_MIX = {"own": 2, "put": 2, "share": 3, "carry": 4, "nest": 3,
                "swap": 2, "give": 2, "follow": 3, "move": 2, "chain": 1}


@dataclass
class Query:
    """One asking sentence: what it begins with, and its four possible endings."""
    prompt: str
    endings: list
    gold: int


@dataclass
class Story:
    """Facts in telling order, the queries they decide, and helper queries for training only."""
    kind: str
    facts: list
    queries: list
    helpers: list


def sentence(text):
    return text[0].upper() + text[1:] + "."


def length(text):
    """Words and punctuation marks: what the tokenizer makes one piece each."""
    return len(text.split()) + text.count(".") + text.count(",")


def listing(parts):
    return ", ".join(parts[:-1]) + " and " + parts[-1]


def pick(rng, *options):
    return options[rng.randrange(len(options))]


def coloured(rng, nouns, count):
    """Distinct things of distinct colours, e.g. "red kite"."""
    return [f"{c} {n}" for c, n in zip(rng.sample(COLOURS, count), rng.sample(nouns, count))]


def with_the(nouns):
    return [f"the {n}" for n in nouns]


def in_one(rng, verb, subjects, objects):
    """All facts of one sort in one sentence; the verb is said once."""
    parts = [f"{s} {o}" for s, o in zip(subjects, objects)]
    parts[0] = f"{subjects[0]} {verb} {objects[0]}"
    return sentence(listing(parts))


def owners(rng):
    """Four people, what each has, and the sentences that say so, in any order."""
    people, goods = rng.sample(NAMES, 4), coloured(rng, THINGS, 4)
    if rng.random() < 0.5:
        return people, goods, [in_one(rng, pick(rng, "has", "owns"), people, [f"a {g}" for g in goods])]
    return people, goods, [sentence(pick(rng, f"{p} has a {g}", f"{p} owns a {g}", f"a {g} belongs to {p}"))
                           for p, g in zip(people, goods)]


def ask_goods(rng, person, goods, gold):
    verb = pick(rng, "now has", "brings along", "shows us", "looks after")
    return Query(f"{person} {verb}", with_the(goods), gold)


def ask_place(rng, subject, places, gold):
    how = pick(rng, "is now at", "is later seen at", "can be found at")
    return Query(f"{subject} {how}", with_the(places), gold)


def ask_container(rng, thing, containers, gold):
    how = pick(rng, f"the {thing} is now in", f"the {thing} lies in",
               f"{pick(rng, *NAMES)} sees the {thing} in")
    return Query(how[0].upper() + how[1:], with_the(containers), gold)


def goers(rng, people, places):
    """Everybody goes somewhere: as separate sentences or as one list."""
    if rng.random() < 0.5:
        return [sentence(f"{p} {pick(rng, 'goes', 'walks', 'runs')} to the {l}")
                for p, l in zip(people, places)]
    return [in_one(rng, pick(rng, "goes", "walks", "runs"), people, [f"to the {l}" for l in places])]


# ---- one fact decides ----

def story_own(rng):
    people, goods, facts = owners(rng)
    return Story("own", facts, [ask_goods(rng, p, goods, i) for i, p in enumerate(people)], [])


def story_put(rng):
    things, boxes = rng.sample(THINGS, 4), coloured(rng, CONTAINERS, 4)
    if rng.random() < 0.5:
        facts = [in_one(rng, "is", with_the(things), [f"in the {b}" for b in boxes])]
    else:
        facts = [in_one(rng, "holds", with_the(boxes), with_the(things))]
    return Story("put", facts, [ask_container(rng, t, boxes, i) for i, t in enumerate(things)], [])


def story_share(rng):
    people, things = rng.sample(NAMES, 8), rng.sample(THINGS, 4)
    pairs = [f"{a} and {b}" for a, b in zip(people[:4], people[4:])]
    facts = [sentence(pick(rng, f"{p} share the {t}", f"the {t} is for {p}"))
             for p, t in zip(pairs, things)]
    queries = [Query(pick(rng, f"The {t} is now with", f"The {t} will be used by"), pairs, i)
               for i, t in enumerate(things)]
    return Story("share", facts, queries, [])


# ---- two facts decide ----

def story_carry(rng):
    """A thing is where its carrier went."""
    people, places, things = rng.sample(NAMES, 4), rng.sample(PLACES, 4), rng.sample(THINGS, 2)
    carriers = rng.sample(range(4), 2)
    takes = in_one(rng, pick(rng, "takes", "carries"), [people[c] for c in carriers], with_the(things))
    facts = [takes] + goers(rng, people, places)
    queries = [ask_place(rng, f"The {t}", places, c) for c, t in zip(carriers, things)]
    helpers = [ask_place(rng, p, places, i) for i, p in enumerate(people)]
    return Story("carry", facts, queries, helpers)


def story_nest(rng):
    """A thing is where its container stands."""
    boxes, places = rng.sample(CONTAINERS, 4), rng.sample(PLACES, 4)
    thing, used = pick(rng, *THINGS), rng.randrange(4)
    facts = [sentence(f"the {thing} is in the {boxes[used]}"),
             in_one(rng, "is", with_the(boxes), [f"at the {l}" for l in places])]
    rng.shuffle(facts)
    queries = [ask_place(rng, f"The {thing}", places, used)]
    helpers = [ask_place(rng, f"The {b}", places, i) for i, b in enumerate(boxes)]
    return Story("nest", facts, queries, helpers)


def story_swap(rng):
    """Two of four owners exchange what they have."""
    people, goods, facts = owners(rng)
    a, b = rng.sample(range(4), 2)
    facts.append(sentence(f"then {people[a]} and {people[b]} swap"))
    now = list(range(4))
    now[a], now[b] = b, a
    asked = [ask_goods(rng, p, goods, now[i]) for i, p in enumerate(people)]
    return Story("swap", facts, [asked[a], asked[b]], [q for i, q in enumerate(asked) if i not in (a, b)])


def story_give(rng):
    """Somebody new gets what one of the owners had."""
    people, goods, facts = owners(rng)
    heirs = rng.sample([n for n in NAMES if n not in people], 2)
    given = rng.sample(range(4), 2)
    facts.append(sentence(" and ".join(f"{people[g]} gives all to {h}" for g, h in zip(given, heirs))))
    queries = [ask_goods(rng, h, goods, g) for g, h in zip(given, heirs)]
    helpers = [ask_goods(rng, people[i], goods, i) for i in range(4) if i not in given]
    return Story("give", facts, queries, helpers)


def story_follow(rng):
    """Followers end up where the person before them went."""
    people, places = rng.sample(NAMES, 6), rng.sample(PLACES, 4)
    led = rng.sample(range(4), 2)
    follows = sentence(" and ".join(f"{f} follows {people[l]}" for f, l in zip(people[4:], led)))
    facts = goers(rng, people[:4], places)
    facts.insert(rng.choice((0, len(facts))), follows)
    queries = [ask_place(rng, f, places, l) for f, l in zip(people[4:], led)]
    helpers = [ask_place(rng, p, places, i) for i, p in enumerate(people[:4])]
    return Story("follow", facts, queries, helpers)


def story_move(rng):
    """A thing is moved to where another one lies."""
    things, boxes = rng.sample(THINGS, 4), rng.sample(CONTAINERS, 4)
    moved, target = rng.sample(range(4), 2)
    facts = [in_one(rng, "is", with_the(things), [f"in the {b}" for b in boxes]),
             sentence(f"then the {things[moved]} {pick(rng, 'joins', 'follows')} the {things[target]}")]
    asked = [ask_container(rng, t, boxes, target if i == moved else i) for i, t in enumerate(things)]
    return Story("move", facts, [asked[moved]], [q for i, q in enumerate(asked) if i != moved])


# ---- three facts decide ----

def story_chain(rng):
    """A thing goes with its carrier, who goes where somebody else went."""
    people, places, thing = rng.sample(NAMES, 6), rng.sample(PLACES, 4), pick(rng, *THINGS)
    led = rng.sample(range(4), 2)
    takes = sentence(f"{people[4]} {pick(rng, 'takes', 'carries')} the {thing}")
    follows = sentence(" and ".join(f"{f} follows {people[l]}" for f, l in zip(people[4:], led)))
    facts = [takes, follows] + goers(rng, people[:4], places)
    queries = [ask_place(rng, f"The {thing}", places, led[0])]
    helpers = [ask_place(rng, p, places, i) for i, p in enumerate(people[:4])]
    helpers += [ask_place(rng, f, places, l) for f, l in zip(people[4:], led)]
    return Story("chain", facts, queries, helpers)


KINDS = {"own": story_own, "put": story_put, "share": story_share, "carry": story_carry,
         "nest": story_nest, "swap": story_swap, "give": story_give, "follow": story_follow,
         "move": story_move, "chain": story_chain}
ONE_FACT = ("own", "put", "share")


def ramble(rng):
    """A sentence without any story word: it pushes the facts out of a short context."""
    weather = WEATHER[rng.randrange(len(WEATHER))]
    mood = pick(rng, "", f"{pick(rng, *MOODS)} ")
    animal = f"{pick(rng, 'a', 'the')} {mood}{pick(rng, *ANIMALS)}"
    scene = f"{animal} {pick(rng, *DOINGS)} {pick(rng, *SPOTS)}"
    return sentence(pick(rng, f"{weather} and {scene}", f"{scene} while {weather}"))


def dress(rng, endings):
    """All endings of one query get the same tail, so lengths differ between items only."""
    tail = pick(rng, "", "", "", " again", " at last", " once more", " by and by", " in the evening")
    return [e + tail for e in endings]


def context_of(rng, story, query):
    """Opening (if there is room), facts, rambling, and the beginning of the asking sentence."""
    text = None
    while text is None or length(text) > MAX_CONTEXT:
        text = " ".join(story.facts + [ramble(rng), query.prompt])
    opening = pick(rng, *OPENINGS, sentence(pick(rng, *WEATHER)))
    longer = f"{opening} {text}".strip()
    return longer if length(longer) <= OPENING_CONTEXT else text


def training_story(rng, more=5):
    """One story as (context, text): text is the context, its ending, and further asked sentences.

    Further ones are drawn with replacement: if each were asked once, a model would learn to name
    what has not been named yet, which needs no looking up, and stay there.
    """
    story = KINDS[pick(rng, *KINDS)](rng)
    rng.shuffle(story.queries)
    query = story.queries[0]
    context = context_of(rng, story, query)
    asked = rng.choices(story.queries + story.helpers, k=more)
    return context, " ".join([f"{context} {dress(rng, query.endings)[query.gold]}."] + answered(rng, asked))


def first_reader(rng, asked=8):
    """The facts of an easy story and queries of it, nothing between: what training begins with."""
    story = KINDS[pick(rng, *ONE_FACT)](rng)
    facts = " ".join(story.facts)
    return facts, " ".join([facts] + answered(rng, rng.choices(story.queries, k=asked)))


def answered(rng, queries):
    return [f"{q.prompt} {dress(rng, q.endings)[q.gold]}." for q in queries]


def training_stories(seed, count, avoid=(), first_readers=0.0):
    """`count` pairs (context, text), that share of them first readers; no context is in `avoid` (the question set's)."""
    rng = random.Random(seed)
    done = 0
    while done < count:
        context, text = first_reader(rng) if rng.random() < first_readers else training_story(rng)
        if context not in avoid:
            done += 1
            yield context, text


def question(rng, number, kind, gold):
    """One item with the right ending at position `gold`."""
    story = KINDS[kind](rng)
    query = pick(rng, *story.queries)
    endings = dress(rng, query.endings)
    right = endings.pop(query.gold)
    rng.shuffle(endings)
    endings.insert(gold, right)
    return {"id": number, "context": context_of(rng, story, query), "choices": endings,
            "gold": gold, "delimiter": " "}


def questions(seed=QUESTION_SEED, count=QUESTION_COUNT, mix=None):
    """The multiple-choice set: kinds in the proportions of the mix, gold positions balanced."""
    rng = random.Random(seed)
    cycle = [k for k, n in (mix or QUESTION_MIX).items() for _ in range(n)]
    kinds = [cycle[i % len(cycle)] for i in range(count)]
    golds = [i % 4 for i in range(count)]
    rng.shuffle(kinds)
    rng.shuffle(golds)
    return [question(rng, i, k, g) for i, (k, g) in enumerate(zip(kinds, golds))], kinds


def write_questions(path, items):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        for item in items:
            f.write(json.dumps(item) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("stories", "questions"))
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", help="file to write instead of standard output")
    args = parser.parse_args()
    out = args.out or sys.stdout.fileno()
    if args.what == "questions":
        seed = QUESTION_SEED if args.seed is None else args.seed
        write_questions(out, questions(seed, args.count or QUESTION_COUNT)[0])
        return
    with open(out, "w", encoding="utf-8", newline="\n") as f:
        for text in training_stories(TRAIN_SEED if args.seed is None else args.seed, args.count or 10):
            f.write(text + "\n")


if __name__ == "__main__":
    main()
