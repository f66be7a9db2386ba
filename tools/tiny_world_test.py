#!/usr/bin/env python3
"""Tests of the tiny world's stories and question set (standard library only).

    python tools/tiny_world_test.py
"""
import json
import random
import re
import unittest
from collections import Counter
from pathlib import Path

import tiny_world

DELIVERED = Path(__file__).resolve().parent.parent / "models" / "tiny" / "questions.jsonl"
TAIL_WORDS = 8     # at least this much rambling and asking follows the last fact


def words(text):
    return re.findall(r"[A-Za-z]+|[.,]", text)


class Stories(unittest.TestCase):
    def test_same_seed_gives_the_same_stories(self):
        first = list(tiny_world.training_stories(7, 200))
        self.assertEqual(first, list(tiny_world.training_stories(7, 200)))
        self.assertNotEqual(first, list(tiny_world.training_stories(8, 200)))

    def test_the_vocabulary_is_closed(self):
        known = set(words(" ".join(text for _, text in tiny_world.training_stories(1, 5000))))
        self.assertEqual(known, set(words(" ".join(text for _, text in tiny_world.training_stories(2, 5000)))))
        items, _ = tiny_world.questions()
        asked = " ".join(i["context"] + " " + " ".join(i["choices"]) for i in items)
        self.assertLessEqual(set(words(asked)), known)

    def test_every_kind_has_queries_with_four_different_endings(self):
        for kind, make in tiny_world.KINDS.items():
            for seed in range(50):
                story = make(random.Random(seed))
                self.assertEqual(story.kind, kind)
                self.assertTrue(story.queries)
                for query in story.queries + story.helpers:
                    self.assertEqual(len(set(query.endings)), 4)
                    self.assertIn(query.gold, range(4))

    def test_questions_are_left_out_of_the_training_stories(self):
        told = list(tiny_world.training_stories(3, 2))
        rng = random.Random(3)
        rng.random()
        context = tiny_world.training_story(rng)[0]
        self.assertTrue(told[0].startswith(context))
        self.assertEqual(next(tiny_world.training_stories(3, 1, {context})), told[1])


class Answers(unittest.TestCase):
    """The labels, derived a second time by reading the text itself."""

    def answer(self, kind, context):
        facts, last = context, context.rsplit(". ", 1)[1]
        if kind in ("own", "swap", "give"):
            return self.owned(facts, last.split()[0])
        if kind == "share":
            return self.sharers(facts, last.split()[1])
        thing = self.asked_thing(last)
        if kind in ("put", "move"):
            return self.container(facts, thing)
        return self.place(facts, thing)

    def asked_thing(self, prompt):
        found = re.search(r"[Tt]he (\w+)", prompt)
        return found.group(1) if found else prompt.split()[0]

    def owned(self, facts, person):
        has = {p: g for p, g in re.findall(r"(\b[A-Z][a-z]+) (?:has |owns )?a (\w+ \w+)[,. ]", facts)
               if p in tiny_world.NAMES}
        has.update({p: g for g, p in re.findall(r"A (\w+ \w+) belongs to (\w+)", facts)})
        for a, b in re.findall(r"(\w+) and (\w+) swap", facts):
            has[a], has[b] = has[b], has[a]
        for a, b in re.findall(r"(\w+) gives all to (\w+)", facts):
            has[b] = has[a]
        return "the " + has[person]

    def sharers(self, facts, thing):
        found = (re.search(rf"(\w+ and \w+) share the {thing}\.", facts)
                 or re.search(rf"[Tt]he {thing} is for (\w+ and \w+)\.", facts))
        return found.group(1)

    def container(self, facts, thing):
        inside = {t: b for t, b in re.findall(r"[Tt]he (\w+) (?:is )?in the ((?:\w+ )??\w+)(?=[,.]| and)", facts)}
        inside.update({t: b for b, t in re.findall(r"[Tt]he (\w+ \w+?)(?: holds)? the (\w+)(?=[,.]| and)", facts)
                       if b.split()[0] in tiny_world.COLOURS})
        for a, b in re.findall(r"Then the (\w+) (?:joins|follows) the (\w+)", facts):
            inside[a] = inside[b]
        return "the " + inside[thing]

    def place(self, facts, key):
        """Follow key -> carrier, container or leader until a place is named."""
        for _ in range(4):
            found = re.search(rf"\b{key} (?:(?:is|goes|walks|runs) )?(?:to|at) the (\w+)", facts)
            if found:
                return "the " + found.group(1)
            key = (re.search(rf"(\w+)(?: takes| carries)? the {key}\b", facts)
                   or re.search(rf"\b{key} follows (\w+)", facts)
                   or re.search(rf"\b{key} is in the (\w+)", facts)).group(1)
        raise AssertionError("no place")

    def test_labels_agree_with_the_text(self):
        items, kinds = tiny_world.questions(11, 960)
        for item, kind in zip(items, kinds):
            with self.subTest(kind=kind, context=item["context"]):
                right = item["choices"][item["gold"]]
                self.assertTrue((right + " ").startswith(self.answer(kind, item["context"]) + " "), right)


class Questions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.items, cls.kinds = tiny_world.questions()

    def test_form(self):
        self.assertEqual([i["id"] for i in self.items], list(range(len(self.items))))
        self.assertTrue(400 <= len(self.items) <= 500)
        for item in self.items:
            self.assertEqual(set(item), {"id", "context", "choices", "gold", "delimiter"})
            self.assertEqual(len(set(item["choices"])), 4)
            self.assertEqual(item["delimiter"], " ")
            self.assertRegex(item["context"], r"^[A-Z].*[a-z]$")
            lengths = [len(words(c)) for c in item["choices"]]
            self.assertEqual(min(lengths), max(lengths))
            self.assertTrue(2 <= lengths[0] <= 8)

    def test_contexts_are_of_different_lengths_and_none_is_told_twice(self):
        lengths = [len(words(i["context"])) for i in self.items]
        self.assertTrue(30 <= min(lengths) and max(lengths) <= tiny_world.MAX_CONTEXT)
        self.assertGreater(len(set(lengths)), 12)
        self.assertEqual(len({i["context"] for i in self.items}), len(self.items))

    def test_gold_positions_are_balanced(self):
        counts = Counter(i["gold"] for i in self.items)
        self.assertEqual(set(counts.values()), {len(self.items) // 4})

    def test_the_end_of_the_context_names_no_ending(self):
        keys = set(tiny_world.THINGS + tiny_world.COLOURS + tiny_world.PLACES + tiny_world.CONTAINERS)
        for item, kind in zip(self.items, self.kinds):
            tail = words(item["context"])[-TAIL_WORDS:]
            asked = set(words(item["context"].rsplit(".", 1)[1]))
            for choice in item["choices"]:
                self.assertFalse(set(words(choice)) & set(tail) & keys - asked, item)

    def test_right_and_wrong_endings_come_from_one_distribution(self):
        items, _ = tiny_world.questions(5, 4800)
        right, wrong = Counter(), Counter()
        for item in items:
            for i, choice in enumerate(item["choices"]):
                (right if i == item["gold"] else wrong).update(words(choice))
        for word, n in (right + wrong).items():
            self.assertLess(abs(right[word] - wrong[word] / 3), 5 * (n / 4 + 1) ** 0.5, word)

    def test_order_of_mention_does_not_give_the_answer(self):
        items, _ = tiny_world.questions(6, 4800)
        ranks = Counter()
        for item in items:
            where = [item["context"].find(" ".join(c.split()[1:3] if c.startswith("the ") else c.split()[:3]))
                     for c in item["choices"]]
            if min(where) >= 0:
                ranks[sorted(where).index(where[item["gold"]])] += 1
        total = sum(ranks.values())
        self.assertGreater(total, 1000)
        for n in ranks.values():
            self.assertLess(abs(n / total - 0.25), 0.04)

    def test_the_delivered_file_is_what_the_generator_writes(self):
        if not DELIVERED.exists():
            self.skipTest("no models/tiny/questions.jsonl")
        lines = DELIVERED.read_text(encoding="utf-8").splitlines()
        self.assertEqual([json.loads(line) for line in lines], self.items)


if __name__ == "__main__":
    unittest.main()
