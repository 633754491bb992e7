"""One measuring point: what a meter there would show, and the energy that has passed it.

Pure; the last results are kept, since many devices may sit at one point. Energy is counted in nJ (mW times µs), as
integers, so that a counter is exactly the integral of its power.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from ccm_sim.encoding import Value
from ccm_sim.physics import Three

NJ_PER_WH = 3_600_000_000_000

_COS = (1.0, -0.5, -0.5)
_SIN = (0.0, -math.sqrt(3) / 2, math.sqrt(3) / 2)


@dataclass(frozen=True, slots=True)
class Point:
    """Powers in mW and mvar (positive when drawn, or produced by an inverter), voltages in mV, frequency in mHz."""

    p_mw: Three
    q_mvar: Three
    v_mv: Three
    f_mhz: int


@lru_cache(maxsize=8)
def quantities(point: Point) -> Mapping[str, Value]:
    """V, A, W, var, VA and power factors by metric name.

    Apparent power is the sum of the phases; a power factor has the sign of its active power; the neutral current is
    the vector sum.
    """
    out: dict[str, Value] = {"f": point.f_mhz / 1000.0}
    real = imaginary = s_total = 0.0
    for phase in range(3):
        p, q, v = point.p_mw[phase] / 1000.0, point.q_mvar[phase] / 1000.0, point.v_mv[phase] / 1000.0
        s = math.hypot(p, q)
        name = str(phase + 1)
        out |= {f"v{name}": v, f"p{name}": p, f"q{name}": q, f"s{name}": s}
        out |= {f"i{name}": s / v, f"pf{name}": p / s if s else 1.0}
        real += (p * _COS[phase] + q * _SIN[phase]) / v
        imaginary += (p * _SIN[phase] - q * _COS[phase]) / v
        s_total += s
    p_total = sum(point.p_mw) / 1000.0
    out |= {"p": p_total, "q": sum(point.q_mvar) / 1000.0, "s": s_total}
    out |= {"pf": p_total / s_total if s_total else 1.0, "in": math.hypot(real, imaginary)}
    for name, (first, second) in {"v12": (0, 1), "v23": (1, 2), "v31": (2, 0)}.items():
        out[name] = _between(point.v_mv[first] / 1000.0, point.v_mv[second] / 1000.0)
    return out


@lru_cache(maxsize=8)
def passed(point: Point, dt_us: int) -> Mapping[str, int]:
    """nJ by counter name that pass in `dt_us` µs; totals count the sum of the phases, as a netting meter does."""
    out: dict[str, int] = {}
    for suffix, p_mw in (("", sum(point.p_mw)), *(zip("123", point.p_mw, strict=True))):
        out[f"e_imp{suffix}"] = max(p_mw, 0) * dt_us
        out[f"e_exp{suffix}"] = max(-p_mw, 0) * dt_us
    for suffix, q_mvar in (("", sum(point.q_mvar)), *(zip("123", point.q_mvar, strict=True))):
        out[f"eq_imp{suffix}"] = max(q_mvar, 0) * dt_us
        out[f"eq_exp{suffix}"] = max(-q_mvar, 0) * dt_us
    return out


def in_wh(counters: Mapping[str, int]) -> dict[str, Value]:
    """Whole Wh (or varh) of nJ counters."""
    return {name: energy // NJ_PER_WH for name, energy in counters.items()}


def _between(first_v: float, second_v: float) -> float:
    """Voltage between two phases 120 degrees apart."""
    return math.sqrt(first_v * first_v + second_v * second_v + first_v * second_v)
