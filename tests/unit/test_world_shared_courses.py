"""Courses that workers share, and answers found with them: the same bits, made once, and nothing left behind."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenarios import one_pool

from sim.traffic.course import Course, Scratch
from sim.traffic.network import Network
from sim.world import shared_courses, undisturbed
from sim.world.shared_courses import SharedArrays, made_once, share

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere each worker makes its own")
KEY = bytes(range(32))
ARRAYS = {
    "single": np.arange(7, dtype=np.float32),
    "empty": np.zeros((0, 3)),
    "flags": np.array([[True], [False]]),
    "nan": np.array([np.nan, -0.0, np.inf]),
}


def test_arrays_come_back_as_they_were():
    arrays = SharedArrays()
    assert arrays.get(KEY) is None
    arrays.put(KEY, ARRAYS)
    arrays.put(bytes(32 * [1]), {"other": np.arange(100_000.0)})
    for name, values in (arrays.get(KEY) or {}).items():
        assert values.dtype == ARRAYS[name].dtype
        assert values.shape == ARRAYS[name].shape
        assert values.tobytes() == ARRAYS[name].tobytes()
        assert not values.flags.writeable
    assert set(arrays.get(KEY) or {}) == set(ARRAYS)
    arrays.put(KEY, {"late": np.zeros(1)})
    assert set(arrays.get(KEY) or {}) == set(ARRAYS), "the first one counts"
    arrays.close()


def test_a_record_whose_writer_was_killed_is_written_over():
    arrays = SharedArrays()
    arrays.put(bytes(32), {"one": np.ones(3)})
    os.ftruncate(arrays._descriptor, os.fstat(arrays._descriptor).st_size + 3 * 4096)  # no head yet
    assert arrays.get(KEY) is None
    arrays.put(KEY, ARRAYS)
    assert set(arrays.get(KEY) or {}) == set(ARRAYS)
    arrays.close()


def test_a_full_file_takes_no_more(monkeypatch: pytest.MonkeyPatch):
    arrays = SharedArrays()
    arrays.put(KEY, ARRAYS)
    monkeypatch.setattr(shared_courses, "MOST_BYTES", os.fstat(arrays._descriptor).st_size)
    arrays.put(bytes(32), ARRAYS)
    assert arrays.get(bytes(32)) is None
    assert arrays.get(KEY) is not None
    arrays.close()


CHILDREN = """
import os, sys
from multiprocessing import get_context
import numpy as np
from sim.world.shared_courses import SharedArrays, made_once, share
def make():
    print("made", flush=True)
    return {"x": np.arange(4.0)}
def child(arrays):
    share(arrays)
    print(float(made_once(b"a", ("b",), make)["x"].sum()), flush=True)
if __name__ == "__main__":
    arrays, context = SharedArrays(), get_context("forkserver")
    for _ in range(3):
        process = context.Process(target=child, args=(arrays,))
        process.start()
        process.join()
    print(os.readlink(f"/proc/self/fd/{arrays._descriptor}") if sys.platform == "linux" else "(deleted)")
"""


def test_processes_make_it_once_in_a_file_without_a_name(tmp_path: Path):
    (tmp_path / "children.py").write_text(CHILDREN)
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "children.py")], env=environment, capture_output=True, text=True, timeout=120
    )
    *told, place = done.stdout.splitlines()
    assert told == ["made", "6.0", "6.0", "6.0"], done.stderr
    assert place.endswith("(deleted)")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["children.py"]


def test_without_a_file_each_process_makes_its_own():
    calls = []

    def make() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.zeros(1)}

    for _ in range(2):
        made_once(b"a", (), make)
    assert len(calls) == 2


def test_a_shared_course_has_the_bits_of_a_made_one(monkeypatch: pytest.MonkeyPatch):
    scenario = one_pool(3, 20 * 86400.0)
    own = undisturbed._course(scenario, ())
    arrays = SharedArrays()
    share(arrays)
    try:
        undisturbed._course_of_run(scenario, ())
        monkeypatch.setattr(undisturbed, "_course", lambda *_: pytest.fail("made again"))
        taken = undisturbed._course_of_run(scenario.model_copy(update={"seed": 1, "faults": {}}), ())
        monkeypatch.undo()
        for name in undisturbed._PLAIN:
            assert getattr(taken, name).tobytes() == getattr(own, name).tobytes(), name
        for name in Network._fields:
            assert getattr(taken.net, name).tobytes() == getattr(own.net, name).tobytes(), name
        assert taken.net.pods.flags.writeable
        other = scenario.model_copy(update={"horizon": 21 * 86400.0})
        assert len(undisturbed._course_of_run(other, ()).knot_s) > len(own.knot_s), "another design is another course"
    finally:
        share(None)
        arrays.close()
    assert shared_courses._shared is None


WAITING = """
import os, signal, sys, time
from contextlib import nullcontext
from multiprocessing import get_context
import numpy as np
from sim.world.shared_courses import SharedArrays, made_once, share
case = sys.argv[1]
def make():
    os.write(1, b"made ")
    if case == "killed" and made.value == 0:
        made.value = 1
        begun.set()
        time.sleep(1.0)  # until the other one waits
        os.kill(os.getpid(), signal.SIGKILL)
    begun.set()
    time.sleep(1.0)
    return {"x": np.arange(4.0)}
def child(arrays, given, is_first):
    global begun, made
    begun, made = given
    if case == "not waited for":
        SharedArrays.making = lambda self, key: nullcontext()
    if not is_first:
        begun.wait()
    share(arrays)
    os.write(1, b"%.1f " % made_once(b"a", ("b", 1), make)["x"].sum())
if __name__ == "__main__":
    arrays, context = SharedArrays(), get_context("forkserver")
    given = context.Event(), context.Value("i", 0)
    processes = [context.Process(target=child, args=(arrays, given, k == 0)) for k in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode is not None
"""


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("both want it", ["made", "6.0", "6.0"]),
        ("not waited for", ["made", "made", "6.0", "6.0"]),  # the control: so it would be
        ("killed", ["made", "made", "6.0"]),
    ],
)
def test_who_needs_what_is_being_made_waits_as_long_as_its_maker_lives(tmp_path: Path, case: str, told: list[str]):
    (tmp_path / "waiting.py").write_text(WAITING)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(tmp_path / "waiting.py"), case]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert sorted(done.stdout.split(), reverse=True) == told, done.stderr


def test_a_lock_outlives_a_map_that_goes():
    arrays = SharedArrays()
    arrays.put(bytes(32), {"large": np.zeros(shared_courses._SMALL_BYTES)})
    assert refused_elsewhere(arrays) == "no"
    with arrays.making(KEY):
        assert refused_elsewhere(arrays) == "yes"
        mapped = arrays.get(bytes(32))
        assert mapped is not None
        del mapped
        gc.collect()
        assert refused_elsewhere(arrays) == "yes"
    assert refused_elsewhere(arrays) == "no"
    arrays.close()


def refused_elsewhere(arrays: SharedArrays) -> str:
    """Whether another process would have to wait for a lock."""
    code = (
        "import fcntl, sys\n"
        "try:\n"
        "    fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    print('no')\n"
        "except OSError:\n"
        "    print('yes')\n"
    )
    command = [sys.executable, "-c", code, str(arrays._locks)]
    return subprocess.run(command, pass_fds=[arrays._locks], capture_output=True, text=True, check=True).stdout.strip()


def answers(course: Course) -> list[object]:
    """What is asked of a course, as bytes."""
    endurance, known = course.endurance, course.known
    known.find_loss(0, 1)
    known.find_alone(0, 1)
    known.find_cost(0, 1)
    known.find_restart(0, 30.0)
    known.find_restart_kills(0, 30.0)
    known.find_slow(known.slow_number(0, 1.5))
    known.find_slow_loss(0, 1)
    return [
        *(np.asarray(table).tobytes() for table in known.tables),
        endurance.limit((1,)),
        endurance.kill_totals([0], [3600.0]).tobytes(),
    ]


def test_answers_that_another_worker_found_have_the_bits_of_ones_own(monkeypatch: pytest.MonkeyPatch):
    scenario = one_pool(3, 20 * 86400.0)
    own = answers(undisturbed._course(scenario, ()))
    arrays = SharedArrays()
    share(arrays)
    try:
        assert answers(undisturbed._course_of_run(scenario, ())) == own
        monkeypatch.setattr(Scratch, "run", lambda *_: pytest.fail("tried again"))
        taken = undisturbed._course_of_run(scenario, ())
        assert answers(taken) == own
        with pytest.raises(pytest.fail.Exception, match="tried again"):
            taken.known.find_loss(0, 2)
        with pytest.raises(pytest.fail.Exception, match="tried again"):
            taken.endurance.restart(0, 31.0)
    finally:
        share(None)
        arrays.close()
