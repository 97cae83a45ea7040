"""Writes patterns.json: which alpha PEFT 0.21.2 gives to which layer by `alpha_pattern` (`rank_pattern` is read in the same way).

    target/peft/bin/python tools/tests/data/patterns.py [--check]

With --check, nothing is written, and the status says whether the file is what would be.

Each row has `keys` ([key, alpha], in the order of the file, one may come twice), `layers` (names) and `expected`: the alpha of each
layer where `lora_alpha` is 8, or "refused". `unmatched` are the keys that no layer matches or is looked up by: PEFT warns of them.
What PEFT refuses is refused; so are the rows of UNSUPPORTED, which PEFT takes, and which no name of a layer needs.
"""

import json
import random
import re
import signal
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from peft.utils.other import get_pattern_key

DEFAULT = 8

# name of the row, keys, layers
TAKEN = [
    ("a name", ["q_proj"], ["q_proj", "layers.0.q_proj", "layers.0.xq_proj", "layers.0.q_projx"]),
    ("a path", ["layers.0.q"], ["layers.0.q", "layersX0-q", "layers.1.q", "m.layers.0.q"]),
    ("an escaped path", [r"layers\.0\.q"], ["layers.0.q", "layersX0.q", "m.layers.0.q"]),
    ("a number", [r"layers\.\d+\.q"], ["model.layers.17.q", "model.layers.17b.q", "layers.x.q"]),
    ("anything in front", [".*q"], ["layers.0.xq", "q", "layers.q.k"]),
    ("no key", [""], ["a", "c.b"]),
    ("alternatives", ["a|b"], ["x.b", "xb", "a", "ax"]),
    ("an empty alternative", ["a|"], ["x.a", "y"]),
    ("a set and a count", ["[ab]{2,3}"], ["x.aba", "x.ab", "x.a", "x.abab"]),
    ("a negated set", ["[^ab]"], ["x.a", "x.c", "c"]),
    ("the start", ["^q"], ["q", "x.q"]),
    ("the end", ["q$"], ["x.q", "x.q$", "q"]),
    ("the end in the middle", ["q$k"], ["q", "qk", "q$k"]),
    ("lazy quantifiers", ["(?:x.)?q+?", "k??v"], ["a.xzqq", "v", "kv", "kkv"]),
    ("the first key that matches", ["q", "x.q", ".*"], ["x.q", "x.k"]),
    ("keys that look like integers come in the order of the file", ["(0|2)", "0"], ["net.0", "net.2"]),
    ("keys that look like integers, in no order", ["10", "[0-9]+", "2", "1"], ["net.1", "net.2", "net.10", "net.11"]),
    ("a key that comes twice has its first place and its last value", ["q", ".*", "q"], ["q", "k"]),
    ("names as keys of an object", ["constructor", "__proto__", "toString"], ["constructor", "__proto__", "toString", "valueOf"]),
    ("the name itself: a plus", ["net.c+d"], ["net.c+d", "net.ccd", "net.x"]),
    ("the name itself: a set", ["net.a[0]"], ["net.a[0]", "net.a0"]),
    ("the name itself: a group", ["net.a(0)"], ["net.a(0)", "net.a0"]),
    ("the name itself: a star", ["net.a*"], ["net.a*", "net.aa", "net.b"]),
    ("the name itself: an end", ["net.a$b"], ["net.a$b", "net.ab"]),
    ("the name itself comes after all expressions", ["net.c+d", ".*d", "net.a*"], ["net.c+d", "net.a*", "net.x"]),
    ("the name itself, not a part of it", ["c+d"], ["net.c+d", "c+d"]),
    ("brackets without a partner", ["a]", "b}", "c{", "d{x}", "{e", "f{}"], ["a]", "b}", "c{", "d{x}", "{e", "f{}"]),
    ("counts", ["a{0}x", "b{2}", "c{2,}", "d{,2}", "e{,}", "g{0,0}"], ["x", "ax", "bb", "cc", "cccc", "c", "d", "ddd", "eee", "g"]),
    ("a large count", ["a{1000}"], ["a" * 1000, "a" * 999]),
    ("a bracket first in a set", ["[]a]", "[^]b]"], ["x.]", "x.a", "x.b", "x.c"]),
    ("a hyphen in a set", ["[a-]", "[-b]", "[c-e-g]", r"[\w-]1"], ["-", "a", "b", "d", "f", "g", "-1", "x1"]),
    ("a range of one", ["[a-a]"], ["a", "b"]),
    ("special characters in a set", ["[.*+?$^(){}|]"], ["x.*", "x.$", "x.^", "x.a"]),
    ("escapes in a set", [r"[\]\-\\\d]"], ["x.]", "x.-", "x.\\", "x.7", "x.d"]),
    ("escaped punctuation", [r"\<a\>\_\ \-\#"], ["<a>_ -#", "a"]),
    ("letters beyond ASCII", ["é", "日本", r"\é1", "[à-ü]"], ["x.é", "日本", "é1", "ü", "e"]),
    ("composed and decomposed letters differ", ["\u00e9"], ["\u00e9", "e\u0301"]),
    ("a letter of two UTF-16 units is one", ["a.b", "[😀-😂]"], ["a😀b", "😁", "😃"]),
    ("spaces and marks", ["a b", "\ufeffq", "#"], ["a b", "\ufeffq", "q", "#"]),
    ("groups that are repeated", ["(a|b)*c", "(?:de)+", "(f){2}", "(g*)*h"], ["ababc", "dede", "ff", "f", "ggh"]),
    ("groups in groups", ["((a)|(?:b(c)?))"], ["a", "b", "bc", "c"]),
    ("twenty groups", ["(" * 20 + "a" + ")" * 20], ["a", "b"]),
    ("what takes backtracking for ever", [".*" * 8 + "x", "(a*)*y", "(a|a)*z", "(a+)+$b"], ["a" * 60, "a" * 60 + "x"]),
    ("an empty repeat", ["(|a)*b", "(?:)*", "(^)*c", "(?:$)?d"], ["aab", "c", "x.c", "d"]),
    ("keys that match nothing", ["nothing", "q", "nothing.else+"], ["x.q", "x.k"]),
    ("a key behind one that matches the same", [".*", "q"], ["q"]),
]

REFUSED = [
    "[a-\\d]", "[\\d-a]", "[\\w-z]", "[b-a]", "[a", "[]", "[^]", "[a-", "[\\", "(a", "((a)", "a**", "a*+*", "a{2}{3}", "a{2}*", "a+{2}",
    "*a", "+a", "?a", "{2}a", "(*a)", "(?:+a)", "a|*", "^*", "$+", "^{2}", "a{3,2}", "a{5000000000}", "a\\", "\\q", "\\y",
    "(?i)a", "(?P<x", "(?", "(?:", "(?<a)", "(?Pa)", "a???", "a*??",
]

# PEFT takes them; Python warns of some that they will mean something else. The last ones are too large.
UNSUPPORTED = [
    "a++", "a?+", "a*+", "a{2}+", "(?i:a)", "(?P<x>a)", "(?=a).", "(?!a).", "(?<=x)a", "(?<!a)b", "(?>a)", "(?#a)b", r"(a)\1", r"\Aa", r"a\Z",
    r"\ba", r"\Bb", r"\Sa", r"\sa", r"\Da", r"\Wa", r"\x61", r"\u0061", r"\0", r"\n", r"[\n]", r"[\s]", "[[:alpha:]]", "[[a]", "[a[b]",
    "[a&&b]", "[+--]", "[a||b]", "[a~~b]", "a)|(b", "a{1000000}", "(a{1000}){1000}", "(" * 90 + "a" + ")" * 90,
]


def verdict(keys, layers):
    """What PEFT's functions give, as `LoraModel` calls them."""
    patterns = json.loads("{" + ", ".join(f"{json.dumps(key)}: {alpha}" for key, alpha in keys) + "}")
    found = [get_pattern_key(patterns.keys(), layer) for layer in layers]
    matched = {key for key in patterns if any(re.match(rf"(.*\.)?({key})$", layer) for layer in layers)}
    looked_up = {key for key, layer in zip(found, layers) if key == layer}
    return [patterns.get(key, DEFAULT) for key in found], [key for key in patterns if key not in matched | looked_up]


def model_says(keys, layers):
    """The alphas of a model with these layers."""

    def place(module, path):
        if len(path) == 1:
            module.add_module(path[0], torch.nn.Linear(1, 1))
            return
        if path[0] not in module._modules:
            module.add_module(path[0], torch.nn.Module())
        place(module._modules[path[0]], path[1:])

    base = torch.nn.Module()
    for layer in layers:
        place(base, layer.split("."))
    config = LoraConfig(r=1, lora_alpha=DEFAULT, alpha_pattern=dict(keys), target_modules="|".join(map(re.escape, layers)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(base, config)
    return [adapted.get_submodule("base_model.model." + layer).lora_alpha["default"] for layer in layers]


def numbered(keys):
    return [[key, 2 ** (i + 4)] for i, key in enumerate(keys)]


def refused(name, key):
    return {"name": name, "keys": [[key, 16]], "layers": ["a", "b"], "expected": "refused"}


class TooLong(Exception):
    pass


def too_long(*_):
    raise TooLong


def random_row(rng):
    """A key of random parts, and what PEFT makes of it; nothing where Python itself takes too long, or warns."""

    def one(depth):
        kind = rng.random()
        if kind < 0.45:
            return rng.choice("aab.0é")
        if kind < 0.55:
            return rng.choice([r"\.", ".", "^", "$", r"\ ", r"\-", "]", "}", "{", ","])
        if kind < 0.7:
            members = ["a", "b", "a-b", "b-a", ".", "0-9", r"\]", "^", r"a-\d"]
            return "[" + rng.choice(["", "^"]) + "".join(rng.choice(members) for _ in range(rng.randint(1, 3))) + "]"
        return rng.choice(["(", "(?:"]) + anything(depth + 1) + ")" if depth < 3 else "a"

    def times():
        return rng.choice(["", "", "", "*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "{2,1}", "{a}", "*?", "+?", "??", "{0}"])

    def anything(depth):
        rows = ("".join(one(depth) + times() for _ in range(rng.randint(0, 3))) for _ in range(rng.choice([1, 1, 2, 3])))
        return "|".join(rows)

    key = anything(0)
    layers = sorted({"".join(rng.choice("aab.0") for _ in range(rng.randint(1, 7))) for _ in range(8)})
    row = {"name": "random", "keys": [[key, 16]], "layers": layers}
    signal.setitimer(signal.ITIMER_VIRTUAL, 5)
    try:
        expected, unmatched = verdict(row["keys"], layers)
    except (TooLong, Warning):
        return None
    except (re.error, OverflowError):
        return {**row, "expected": "refused"}
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return {**row, "expected": expected, "unmatched": unmatched}


def rows():
    for name, keys, layers in TAKEN:
        keys = numbered(keys)
        if "for ever" in name:
            # The name itself would take Python days; each of these keys ends in a letter that the first name has not.
            yield {"name": name, "keys": keys, "layers": layers, "expected": [DEFAULT, 16], "unmatched": [key for key, _ in keys[1:]]}
            continue
        expected, unmatched = verdict(keys, layers)
        assert expected == model_says(keys, layers), name
        yield {"name": name, "keys": keys, "layers": layers, "expected": expected, "unmatched": unmatched}
    for key in REFUSED:
        try:
            verdict([[key, 16]], ["a", "b"])
        except (re.error, OverflowError):
            yield refused("Python refuses it", key)
        else:
            raise AssertionError(f"Python takes {key}")
    for key in UNSUPPORTED:
        verdict([[key, 16]], ["a", "b"])
        yield refused("not needed for names", key)
    warnings.simplefilter("error")
    rng = random.Random(1)
    found = (random_row(rng) for _ in range(400))
    yield from (row for row in found if row)


if __name__ == "__main__":
    signal.signal(signal.SIGVTALRM, too_long)
    text = "[\n" + ",\n".join(map(json.dumps, rows())) + "\n]\n"
    path = Path(__file__).with_suffix(".json")
    if sys.argv[1:] == ["--check"]:
        sys.exit(path.read_text(encoding="ascii") != text)
    path.write_text(text, encoding="ascii")
