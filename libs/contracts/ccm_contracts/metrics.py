"""The one vocabulary of what is measured: name, label, unit, kind, OBIS code and SunSpec point.

Does not decode anything. Signs: production is positive; grid power is positive when importing and negative when
exporting; battery power is positive when discharging (manual section 7).
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "text"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured quantity. `unit` is "" where the quantity has none; `obis` is C.D.E of group 1-0."""

    name: str
    label: str
    unit: str
    kind: Kind = "gauge"
    obis: str | None = None
    sunspec: str | None = None


def _table() -> list[Metric]:
    rows = [
        Metric("v1", "Voltage L1", "V", obis="32.7.0", sunspec="PhVphA"),
        Metric("v2", "Voltage L2", "V", obis="52.7.0", sunspec="PhVphB"),
        Metric("v3", "Voltage L3", "V", obis="72.7.0", sunspec="PhVphC"),
        Metric("v12", "Voltage L1-L2", "V", sunspec="PPVphAB"),
        Metric("v23", "Voltage L2-L3", "V", sunspec="PPVphBC"),
        Metric("v31", "Voltage L3-L1", "V", sunspec="PPVphCA"),
        Metric("i1", "Current L1", "A", obis="31.7.0", sunspec="AphA"),
        Metric("i2", "Current L2", "A", obis="51.7.0", sunspec="AphB"),
        Metric("i3", "Current L3", "A", obis="71.7.0", sunspec="AphC"),
        Metric("in", "Current neutral", "A", obis="91.7.0"),
        Metric("i", "Current", "A", obis="90.7.0", sunspec="A"),
        Metric("p1", "Active power L1", "W", obis="36.7.0", sunspec="WphA"),
        Metric("p2", "Active power L2", "W", obis="56.7.0", sunspec="WphB"),
        Metric("p3", "Active power L3", "W", obis="76.7.0", sunspec="WphC"),
        Metric("p", "Active power", "W", obis="16.7.0", sunspec="W"),
        Metric("q1", "Reactive power L1", "var", obis="151.7.0"),
        Metric("q2", "Reactive power L2", "var", obis="171.7.0"),
        Metric("q3", "Reactive power L3", "var", obis="191.7.0"),
        Metric("q", "Reactive power", "var", obis="131.7.0", sunspec="VAr"),
        Metric("s1", "Apparent power L1", "VA", obis="29.7.0"),
        Metric("s2", "Apparent power L2", "VA", obis="49.7.0"),
        Metric("s3", "Apparent power L3", "VA", obis="69.7.0"),
        Metric("s", "Apparent power", "VA", obis="9.7.0", sunspec="VA"),
        Metric("pf1", "Power factor L1", "", obis="33.7.0"),
        Metric("pf2", "Power factor L2", "", obis="53.7.0"),
        Metric("pf3", "Power factor L3", "", obis="73.7.0"),
        Metric("pf", "Power factor", "", obis="13.7.0", sunspec="PF"),
        Metric("f", "Frequency", "Hz", obis="14.7.0", sunspec="Hz"),
        Metric("e_imp", "Energy imported", "kWh", "counter", obis="1.8.0", sunspec="TotWhImp"),
        Metric("e_exp", "Energy exported", "kWh", "counter", obis="2.8.0", sunspec="TotWhExp"),
        Metric("eq_imp", "Reactive energy imported", "kvarh", "counter", obis="3.8.0"),
        Metric("eq_exp", "Reactive energy exported", "kvarh", "counter", obis="4.8.0"),
        Metric("es", "Apparent energy", "kVAh", "counter", obis="9.8.0"),
        Metric("p_max", "Maximum demand", "W", obis="1.6.0"),
        Metric("p_dc", "DC power", "W", sunspec="DCW"),
        Metric("e_day", "Energy today", "kWh", "gauge"),
        Metric("e_total", "Energy produced", "kWh", "counter", sunspec="WH"),
        Metric("temp", "Temperature", "°C", sunspec="TmpCab"),
        Metric("soc", "State of charge", "%", sunspec="ChaState"),
        Metric("p_bat", "Battery power", "W"),
        Metric("v_bat", "Battery voltage", "V"),
        Metric("i_bat", "Battery current", "A"),
        Metric("thd_v", "THD voltage", "%"),
        Metric("thd_i", "THD current", "%"),
        Metric("status", "Status", "", "text", sunspec="St"),
        Metric("fault", "Fault", "", "text", sunspec="Evt1"),
        Metric("serial", "Serial number", "", "text", obis="0.0.0"),
        Metric("firmware", "Firmware version", "", "text"),
        Metric("model", "Model", "", "text"),
    ]
    for phase in (1, 2, 3):
        obis_import, obis_export = 20 * phase + 1, 20 * phase + 2
        rows += [
            Metric(f"e_imp{phase}", f"Energy imported L{phase}", "kWh", "counter", obis=f"{obis_import}.8.0"),
            Metric(f"e_exp{phase}", f"Energy exported L{phase}", "kWh", "counter", obis=f"{obis_export}.8.0"),
            Metric(f"eq_imp{phase}", f"Reactive energy imported L{phase}", "kvarh", "counter"),
            Metric(f"eq_exp{phase}", f"Reactive energy exported L{phase}", "kvarh", "counter"),
            Metric(f"thd_v{phase}", f"THD voltage L{phase}", "%"),
            Metric(f"thd_i{phase}", f"THD current L{phase}", "%"),
        ]
    for tariff in range(1, 7):
        rows += [
            Metric(f"e_imp_t{tariff}", f"Energy imported T{tariff}", "kWh", "counter", obis=f"1.8.{tariff}"),
            Metric(f"e_exp_t{tariff}", f"Energy exported T{tariff}", "kWh", "counter", obis=f"2.8.{tariff}"),
        ]
    for quadrant in range(1, 5):
        rows.append(
            Metric(
                f"eq_q{quadrant}",
                f"Reactive energy Q{quadrant}",
                "kvarh",
                "counter",
                obis=f"{quadrant + 4}.8.0",
            )
        )
    for string in range(1, 13):
        rows += [
            Metric(f"v_dc{string}", f"DC voltage {string}", "V"),
            Metric(f"i_dc{string}", f"DC current {string}", "A"),
            Metric(f"p_dc{string}", f"DC power {string}", "W"),
        ]
    rows += [
        Metric(f"{row.name}_acc", f"{row.label}, accumulated", row.unit, "counter")
        for row in rows
        if (row.kind == "counter" and row.name in _TOTALS) or _TARIFF.fullmatch(row.name)
    ]
    return rows


_TOTALS = ("e_imp", "e_exp", "eq_imp", "eq_exp", "es", "e_total")
_TARIFF = re.compile(r"e_(imp|exp)_t\d")


METRICS: dict[str, Metric] = {metric.name: metric for metric in _table()}
"""Every metric by name, in the order in which screens show them."""

ACCUMULATED: dict[str, str] = {name: f"{name}_acc" for name in METRICS if f"{name}_acc" in METRICS}
"""The derived counter of a counter: it adds what the device's own counted, and never steps back."""

DERIVED: frozenset[str] = frozenset(ACCUMULATED.values())
"""What the gateway computes: no device gives it."""
