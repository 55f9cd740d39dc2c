"""`python -m tests.chaos`: rounds of load and faults, one seed each, for as long as asked."""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scheduling.management.options import at_least_one
from tests.chaos.again import again_by
from tests.chaos.plan import KINDS, needs_pooler
from tests.chaos.planted import PLANTED, judge_the_judge
from tests.chaos.stack import pooler_program
from tests.process_trees import tie_to_this_process
from tests.processes import ROOT

_SETTLES_WITHIN = 600.0  # seconds that a round may take beyond its load


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    if unknown := [only for only in options.only if not any(kind.startswith(only) for kind in KINDS)]:
        parser().error(f"--only: no kind of fault begins with {', '.join(unknown)}; there are {', '.join(KINDS)}")
    if options.self_test:
        return _self_test()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    kept = Path(options.keep or tempfile.mkdtemp(prefix="ordinaut-torture-"))
    ends_at = time.monotonic() + options.minutes * 60
    done = 0
    while done == 0 or (time.monotonic() < ends_at and done < options.rounds):
        code = _round(seed + done, kept / f"seed-{seed + done}", options, nested=0 if done else options.nested)
        done += 1
        if code != 0:
            return code
    sys.stdout.write(f"{done} {'round' if done == 1 else 'rounds'} passed\n")
    if not options.keep:
        shutil.rmtree(kept, ignore_errors=True)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="make torture", description=__doc__)
    made.add_argument("--seed", type=int, default=None, help="of the first round; each next one adds 1")
    made.add_argument("--minutes", type=float, default=5.0, help="start no round after this time (default: 5)")
    made.add_argument("--rounds", type=at_least_one, default=sys.maxsize, help="stop after so many rounds")
    made.add_argument("--seconds", type=float, default=90.0, help="of load and faults in each round (default: 90)")
    made.add_argument("--nested", type=int, default=1000, help="runs of a nested pipeline in the first round (1000)")
    made.add_argument("--hosts", type=int, default=2, help="worker hosts (default: 2)")
    made.add_argument("--processes", type=int, default=2, help="worker processes of each (default: 2)")
    made.add_argument(
        "--pooler",
        choices=("seed", "yes", "no"),
        default="seed",
        help="PgBouncer in between; odd seeds have it, and rounds of its faults alone",
    )
    made.add_argument(
        "--only", type=_kinds, default=(), metavar="KINDS", help="fault kinds by their beginning: worker,network.slow"
    )
    made.add_argument("--keep", default="", metavar="FOLDER", help="keep ledgers and logs there, also of good rounds")
    made.add_argument("--self-test", action="store_true", help="see that the judge catches what is planted for it")
    return made


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _self_test() -> int:
    wrong = judge_the_judge()
    for complaint in wrong:
        sys.stdout.write(f"not caught: {complaint}\n")
    if not wrong:
        planted = sum(len(plants) for plants in PLANTED.values())
        sys.stdout.write(f"{planted} planted violations of {len(PLANTED)} invariants were caught\n")
    return 1 if wrong else 0


def _round(seed: int, folder: Path, options: argparse.Namespace, *, nested: int) -> int:
    shutil.rmtree(folder, ignore_errors=True)  # of the same seed, tried before
    folder.mkdir(parents=True)
    has_pooler = _has_pooler(seed, options)
    sys.stdout.write(f"seed {seed} begins\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "tests.chaos.round", f"--seed={seed}", f"--folder={folder}"]
    command += [f"--seconds={options.seconds}", f"--hosts={options.hosts}", f"--processes={options.processes}"]
    command += [f"--nested={nested}"]
    command += [f"--only={','.join(options.only)}"] + ["--pooler"] * has_pooler
    with (folder / "round.log").open("wb") as log:
        child = subprocess.Popen(command, cwd=ROOT, stderr=log, preexec_fn=tie_to_this_process)
        try:
            code = child.wait(options.seconds + _SETTLES_WITHIN)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            child.send_signal(signal.SIGINT)
            child.wait(60)
            code = 2
    if code:
        sys.stdout.write(f"the round {'broke an invariant' if code == 1 else 'went wrong'}; kept in {folder}\n")
        if code != 1:
            sys.stdout.write("".join((folder / "round.log").read_text().splitlines(keepends=True)[-25:]))
        sys.stdout.write(again_by(_words(seed, options, nested=nested, has_pooler=has_pooler)))
    elif not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    return code


def _words(seed: int, options: argparse.Namespace, *, nested: int, has_pooler: bool) -> list[str]:
    """What repeats this round alone: all that decides what it does, with the pooler that it had."""
    words = ["--seed", str(seed), "--rounds", "1", "--seconds", f"{options.seconds:g}", "--hosts", str(options.hosts)]
    words += ["--nested", str(nested), "--processes", str(options.processes)]
    words += ["--pooler", "yes" if has_pooler else "no"]
    return words + (["--only", ",".join(options.only)] if options.only else [])


def _has_pooler(seed: int, options: argparse.Namespace) -> bool:
    wants_it = seed % 2 == 1 or needs_pooler(options.only)
    if options.pooler == "no" or (options.pooler == "seed" and not wants_it):
        return False
    if pooler_program() is None:
        sys.stdout.write("PgBouncer is not installed: this round goes without it\n")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
