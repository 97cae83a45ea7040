#!/usr/bin/env python3
"""Draws the figures of `peers --csv FILE` against the roofline, as SVG.

    pip install matplotlib
    ./figure.py peers.csv --out docs/speed.svg
"""

import argparse
import csv
from collections import defaultdict

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

# Fixed names and ids: the same figures give the same file.
matplotlib.rcParams.update({"svg.hashsalt": "lowrank", "svg.fonttype": "path", "font.size": 9})
STYLES = {
    "lowrank": ("#c1272d", "o", 52),
    "OpenBLAS": ("#4477aa", "s", 22),
    "BLIS": ("#228833", "^", 24),
    "MKL": ("#66a3c9", "D", 19),
    "MKL packed": ("#aa7733", "P", 26),
    "gemm": ("#7a5195", "v", 24),
    "matrixmultiply": ("#888888", "X", 24),
}
PANELS = [("base", "frozen weights, Y = X·Wᵀ"), ("thin", "thin products of the adapter, 128 tokens")]


def read(path):
    """By panel: the shapes in the order of the file, each with its roof and the fastest variant of each contender."""
    panels = defaultdict(dict)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["contender"] == "ours" and row["variant"]:
                continue
            shape = (row["kind"], *(int(row[key]) for key in ("outputs", "inputs", "tokens")))
            case = panels[row["kind"].split()[0]].setdefault(shape, {"roof": float(row["roof_gflops"]), "rates": {}})
            name = "lowrank" if row["contender"] == "ours" else row["contender"]
            case["rates"][name] = max(case["rates"].get(name, 0.0), float(row["best_gflops"]))
    return panels


def label(shape):
    kind, outputs, inputs, tokens = shape
    size = f"{outputs}²" if outputs == inputs else f"{outputs}×{inputs}"
    return size + (f"\nn {tokens}" if kind == "base" else "")


def draw_panel(axes, title, cases):
    positions = range(len(cases))
    for position, case in zip(positions, cases.values()):
        axes.bar(position, case["roof"], width=0.86, color="#eeeeee", edgecolor="#999999", linewidth=0.8, zorder=1)
        axes.bar(position, case["rates"]["lowrank"], width=0.86, color="#f3d2cf", zorder=2)
    names = [name for name in STYLES if any(name in case["rates"] for case in cases.values())]
    for name in reversed(names):
        color, marker, size = STYLES[name]
        spread = 0 if name == "lowrank" else 0.11 * (names.index(name) - (len(names) / 2))
        points = [(p + spread, case["rates"][name]) for p, case in zip(positions, cases.values()) if name in case["rates"]]
        axes.scatter(*zip(*points), s=size, c=color, marker=marker, label=name, zorder=5 if name == "lowrank" else 4)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xticks(list(positions), [label(shape) for shape in cases])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(cases) - 0.4)
    axes.set_ylabel("GFLOP/s")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", help="what `peers --csv` wrote")
    parser.add_argument("--out", default="speed.svg", help="the figure")
    arguments = parser.parse_args()
    panels = read(arguments.csv)
    shown = [(title, panels[key]) for key, title in PANELS if panels[key]]
    figure, rows = plt.subplots(len(shown), 1, figsize=(9.2, 3.4 * len(shown)), squeeze=False, facecolor="white")
    for axes, (title, cases) in zip(rows[:, 0], shown):
        draw_panel(axes, title, cases)
    handles, labels = rows[0, 0].get_legend_handles_labels()
    handles, labels = handles[::-1], labels[::-1]
    handles.append(plt.Rectangle((0, 0), 1, 1, facecolor="#eeeeee", edgecolor="#999999"))
    labels.append("roof: peak, or bandwidth")
    figure.legend(handles, labels, loc="upper center", ncol=8, frameon=False, fontsize=8, handletextpad=0.2, columnspacing=1.0)
    figure.tight_layout(rect=(0, 0, 1, 0.96))
    figure.savefig(arguments.out, metadata={"Date": None})
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
