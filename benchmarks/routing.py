"""How even are the seats, and what does one cost? `python -m benchmarks.routing` (no network).

Drives the master's own seating (`airclass.domain.routing`) in virtual time: 10 nodes of 150 with
students coming and going, a herd, a node that falls; then a tree of seatings for a million viewers.
Prints a table and writes a plot as SVG.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from airclass.domain.routing import NodeSeats, SeatBook

NODES, CAPACITY = 10, 150
MINUTES = 60
STEP_S = 1.0
STAY_S = 1200.0
TREE_FANOUT = 100
TREE_VIEWERS = 1_000_000
SAMPLES = 20_000
WIDTH, HEIGHT, MARGIN = 900, 320, 40


@dataclass
class RoutingRun:
    """What was seen over time."""

    minutes: list[float] = field(default_factory=list)
    lowest: list[int] = field(default_factory=list)
    highest: list[int] = field(default_factory=list)
    joins: int = 0
    turned_away: int = 0
    spent_s: float = 0.0


def seating(nodes: int, capacity: int) -> SeatBook:
    """Return empty seats."""
    made = SeatBook()
    for n in range(nodes):
        made.nodes[f"n{n:03}"] = NodeSeats(f"n{n:03}", capacity, takes_students=True)
    return made


def churn(dice: random.Random) -> RoutingRun:
    """Let an hour pass at nine tenths of the capacity: joins, leaves, and one node that falls."""
    seats, course = seating(NODES, CAPACITY), RoutingRun()
    until: dict[str, float] = {}
    number, now_s = 0, 0.0
    rate = 0.9 * NODES * CAPACITY / STAY_S
    while now_s < MINUTES * 60:
        now_s += STEP_S
        for subject in [s for s, end_s in until.items() if end_s <= now_s]:
            del until[subject]
            for node_id in list(seats.nodes):
                seats.leave(subject, node_id)
        for _ in range(sum(dice.random() < rate / 10 for _ in range(10))):
            number += 1
            began_s = time.perf_counter()
            node = seats.reserve(f"s{number}", None, now_s)
            course.spent_s += time.perf_counter() - began_s
            course.joins += 1
            if node is None:
                course.turned_away += 1
                continue
            seats.confirm(f"s{number}", node.id, now_s)
            until[f"s{number}"] = now_s + dice.expovariate(1 / STAY_S)
        fallen = seats.nodes["n003"]
        if now_s == 1800:
            fallen.takes_students = False
            for subject, node_id in seats.move("n003", now_s).items():
                seats.leave(subject, "n003")
                seats.confirm(subject, node_id, now_s)
        if now_s == 2400:
            fallen.takes_students = True
        counts = [s.occupied for s in seats.nodes.values() if s.takes_students]
        course.minutes.append(now_s / 60)
        course.lowest.append(min(counts))
        course.highest.append(max(counts))
    return course


def herd() -> tuple[int, float, bool]:
    """Let 1,500 join at once; returns spread, seconds per join, and whether one more is refused."""
    seats = seating(NODES, CAPACITY)
    began_s = time.perf_counter()
    for n in range(NODES * CAPACITY):
        seats.reserve(f"s{n}", None, 0.0)
    each_s = (time.perf_counter() - began_s) / (NODES * CAPACITY)
    counts = [s.occupied for s in seats.nodes.values()]
    return max(counts) - min(counts), each_s, seats.reserve("one more", None, 0.0) is None


def tree(dice: random.Random) -> tuple[int, float, int]:
    """Seat a million in a tree, a region first, then a node of it, while people come and go.

    Each level is a seating of its own, so a join costs two choices among TREE_FANOUT instead of one
    among all. Whoever goes is anybody of the million.
    Returns nodes, seconds a join, and the spread at the end.
    """
    nodes = TREE_VIEWERS // CAPACITY + 1
    regions = -(-nodes // TREE_FANOUT)
    top = list(seating(regions, TREE_FANOUT * CAPACITY).nodes.values())
    leaves = [seating(TREE_FANOUT, CAPACITY) for _ in top]
    for region, leaf in zip(top, leaves, strict=True):
        region.connections = share = TREE_VIEWERS // regions
        for number, node in enumerate(leaf.nodes.values()):
            node.connections = share // TREE_FANOUT + (number < share % TREE_FANOUT)
    whole = SeatBook()
    whole.nodes = {region.id: region for region in top}
    index, spent_s = {region.id: n for n, region in enumerate(top)}, 0.0
    joins = 0
    for _ in range(2 * SAMPLES):
        if dice.random() < 0.5:
            (gone,) = dice.choices(range(regions), [region.connections for region in top])
            nodes_here = list(leaves[gone].nodes.values())
            (node,) = dice.choices(nodes_here, [s.connections for s in nodes_here])
            top[gone].connections -= 1
            node.connections -= 1
            continue
        began_s = time.perf_counter()
        best = whole.choose(None)
        chosen = None if best is None else leaves[index[best.id]].choose(None)
        spent_s += time.perf_counter() - began_s
        joins += 1
        if best is not None and chosen is not None:
            best.connections += 1
            chosen.connections += 1
    counts = [node.connections for part in leaves for node in part.nodes.values()]
    return nodes, spent_s / joins, max(counts) - min(counts)


def plot(course: RoutingRun, path: Path) -> None:
    """Draw the fullest and the emptiest node over time."""

    across, up = (WIDTH - 2 * MARGIN) / MINUTES, (HEIGHT - 2 * MARGIN) / CAPACITY

    def line(values: list[int], colour: str) -> str:
        points = " ".join(
            f"{MARGIN + minute * across:.1f},{HEIGHT - MARGIN - value * up:.1f}"
            for minute, value in zip(course.minutes[::10], values[::10], strict=True)
        )
        return f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{points}"/>'

    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    floor = HEIGHT - MARGIN
    grid = [(str(n), floor - n * up) for n in range(0, CAPACITY, 50)] + [(f"{CAPACITY} = full", MARGIN)]
    rows = "".join(
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y}" y2="{y}" stroke="#ddd"/>'
        f'<text x="{MARGIN}" y="{y - 4}">{text}</text>'
        for text, y in grid
    )
    columns = "".join(
        f'<text x="{MARGIN + m * across}" y="{floor + 14}" text-anchor="middle">{m} min</text>'
        for m in range(0, MINUTES + 1, 10)
    )
    caption = (
        f"students on the fullest (red) and emptiest (blue) of {NODES} nodes over {MINUTES} minutes; "
        "one node is gone from minute 30 to 40"
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f"{rows}{columns}"
        f"{line(course.highest, '#c22')}{line(course.lowest, '#26c')}"
        f'<text x="{MARGIN}" y="{HEIGHT - 8}">{caption}</text></svg>\n'
    )


def main() -> None:
    """Run all three and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, default=Path("build/routing.svg"))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    dice = random.Random(args.seed)
    spread, each_s, refused = herd()
    print(
        f"herd     {NODES} x {CAPACITY}: 1,500 at once, spread {spread}, {each_s * 1e6:.1f} us a join, ",
        end="",
    )
    print("one more is refused" if refused else "ONE TOO MANY")
    course = churn(dice)
    before = [
        h - lo for m, h, lo in zip(course.minutes, course.highest, course.lowest, strict=True) if 20 < m < 30
    ]
    after = [h - lo for m, h, lo in zip(course.minutes, course.highest, course.lowest, strict=True) if m > 55]
    print(
        f"churn    {course.joins:,} joins in {MINUTES} min, {course.turned_away} turned away, "
        f"{course.spent_s / course.joins * 1e6:.1f} us each; "
        f"spread at most {max(before)} before a node fell, {max(after)} after it was back for 15 min"
    )
    nodes, each_s, spread = tree(dice)
    print(
        f"tree     {TREE_VIEWERS:,} viewers on {nodes:,} nodes, about {SAMPLES:,} come and go: "
        f"{each_s * 1e6:.0f} us a join, spread {spread}"
    )
    args.plot.parent.mkdir(parents=True, exist_ok=True)
    plot(course, args.plot)
    print(f"plot     {args.plot}")


if __name__ == "__main__":
    main()
