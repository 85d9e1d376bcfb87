"""`airclass demo`: a whole class on this machine, with a synthetic teacher and nothing to set up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from airclass.cli.standalone import run


def demo(
    *,
    public: bool = False,
    ports: int | None = None,
    ready_file: Path | None = None,
    verbose: bool = False,
) -> None:
    """Show a live class: ingest, master, one relay and a synthetic teacher, until Ctrl-C.

    Everything is temporary: secrets, accounts and the class are new at each start.

    Parameters
    ----------
    public
        Let other machines of the network in; otherwise only this one can watch.
    ports
        0: every port is any free one, instead of 8000, 8080, 1935 and so on.
    ready_file
        Where to write addresses, codes and tokens, as JSON, once a student could play.
    verbose
        Show what the children say, too.
    """
    console = Console(soft_wrap=True, highlight=False)
    console.print("Starting a class. This takes a few seconds …")

    def show(record: dict[str, Any]) -> None:
        for line in lines(record):
            console.print(line)

    run(demo=True, public=public, ports=ports, ready_file=ready_file, quiet=not verbose, show=show)


def lines(record: dict[str, Any]) -> list[str]:
    """Return what a newcomer needs: three links, the code, the RTMP address; each in one piece."""
    rows = (
        ("Student", record["student_url"]),
        ("Teacher", record["teacher_url"]),
        ("Admin", record["admin_url"]),
        ("Class code", f"[bold]{record['join_code']}[/bold]"),
        ("RTMP", record["rtmp_url"]),
    )
    return [
        "\n[bold green]The class is live.[/bold green]\n",
        *(f"[cyan]{name:<11}[/cyan] {value}" for name, value in rows),
        f"\n[dim]The links of teacher and admin work once. Ingest: {record['ingest']}. "
        "Ctrl-C ends everything.[/dim]",
    ]
