"""Courses that workers share: the same bits, made once, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenarios import one_pool

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
