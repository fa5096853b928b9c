from __future__ import annotations

import threading

from seqexpr.models.kernels.cuda.precision import computing_in, precision


def test_fp32_unless_a_thread_asks_for_something_else():
    seen = []
    assert precision() == "fp32"
    with computing_in("fp16"):
        assert precision() == "fp16"
        other = threading.Thread(target=lambda: seen.append(precision()))
        other.start()
        other.join()
        with computing_in("fp32"):
            assert precision() == "fp32"
        assert precision() == "fp16"
    assert seen == [precision()] == ["fp32"]
