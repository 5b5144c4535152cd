"""`make profile`: where the client's time goes while threads are written, by function.

A sampling profiler inside the process, so that it needs no rights and no root; samples that fall into the
event loop's own code are time in which the client waited for Postgres.

Usage: python -m tests.benchmarks.profile [--writers 1,16,64] [--seconds S] [--top N]
"""

import argparse
import asyncio
from collections import defaultdict

from pyinstrument import Profiler
from pyinstrument.frame import Frame
from pyinstrument.session import Session

from tests.benchmarks.driving import threads_for, write_all
from tests.benchmarks.servers import own_servers
from tests.benchmarks.systems.ours import Ours
from tests.benchmarks.workload import chats

INTERVAL_S = 0.0005
GUESS_PER_S = 4000.0


def main() -> None:
    """Read the arguments, profile, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writers", default="1,16,64")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--top", type=int, default=25)
    asked = parser.parse_args()
    with own_servers() as stack:
        for writers in map(int, asked.writers.split(",")):
            # asyncio's own loop, whose steps a Python profiler sees; uvloop's are compiled.
            rate, session = asyncio.run(profiled(stack.postgres.url, writers, asked.seconds))
            print(f"\n{writers} writers, {rate:,.0f} checkpoints/s while profiled: self time by function\n")
            print("\n".join(hottest(session, asked.top)))


async def profiled(database_url: str, writers: int, seconds: float) -> tuple[float, Session]:
    """Write about that long under the profiler."""
    async with Ours(database_url) as ours:
        await ours.reset()
        todo = [
            await ours.writer(f"profile-{number}", chat)
            for number, chat in enumerate(chats(threads_for(GUESS_PER_S, seconds, writers)))
        ]
        profiler = Profiler(interval=INTERVAL_S, async_mode="disabled")
        profiler.start()
        run = await write_all(todo, at_once=writers)
        session = profiler.stop()
        for writer in todo:
            await writer.close()
    return run.per_second, session


def hottest(session: Session, top: int) -> list[str]:
    """The functions with the most time of their own."""
    root = session.root_frame(trim_stem=False)
    seconds: defaultdict[str, float] = defaultdict(float)
    if root is not None:
        _add(root, seconds)
    total = sum(seconds.values()) or 1.0
    hot = sorted(seconds.items(), key=lambda item: item[1], reverse=True)[:top]
    return [f"{100 * spent / total:5.1f} %  {name}" for name, spent in hot]


def _add(frame: Frame, seconds: defaultdict[str, float]) -> None:
    """Time that no deeper frame has is the frame's own; pyinstrument keeps it as a child of its own."""
    seconds[_name(frame)] += frame.absorbed_time if frame.children else frame.time
    for child in frame.children:
        _add(child, seconds)


def _name(frame: Frame) -> str:
    parent = frame.parent
    if frame.is_synthetic and parent is not None:
        return _name(parent)
    return f"{frame.function} ({frame.file_path_short})"


if __name__ == "__main__":
    main()
