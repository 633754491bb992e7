"""Register maps of the simulated devices, as tables to be compared with paper.

Only facts: function, address, type, scale, quantity. Names of quantities are the project's metric names
(design.md section 4); values come from `instrument.py`.
"""

from ccm_sim.encoding import RegisterMap, Row


def _series(address: int, type_: str, names: str, *, scale: int = 1, step_wh: int = 0) -> tuple[Row, ...]:
    """Rows of one type that follow each other without a gap."""
    length = 1 if type_.endswith("16") else 2
    return tuple(
        Row(address + index * length, type_, name, scale=scale, step_wh=step_wh)  # type: ignore[arg-type]
        for index, name in enumerate(names.split())
    )


CCM4 = RegisterMap(
    model="ccm4",
    source="docs/ccm-modbus-map.md of this repository",
    marks={"u16": 0xFFFF, "s16": 0x8000, "u32": 0xFFFFFFFF, "s32": 0x80000000},
    writes=frozenset({6, 16}),
    holding=(
        Row(0, "u32", "serial_number"),
        Row(2, "u16", "firmware_word"),
        Row(3, "u16", "hardware_word"),
        Row(4, "u16", "model_word"),
        Row(5, "u16", "unit"),
        Row(6, "u16", "mode"),
        *_series(16, "u16", "v1 v2 v3 v12 v23 v31", scale=100),
        *_series(22, "u32", "i1 i2 i3 in", scale=1000),
        *_series(30, "s32", "p1 p2 p3 p", scale=10),
        *_series(38, "s32", "q1 q2 q3 q", scale=10),
        *_series(46, "u32", "s1 s2 s3 s", scale=10),
        *_series(54, "s16", "pf1 pf2 pf3 pf", scale=1000),
        Row(58, "u16", "f", scale=100),
        Row(59, "s16", "temp", scale=10),
        *_series(64, "u32", "e_imp e_exp eq_imp eq_exp", step_wh=1),
        *_series(72, "u32", "e_imp1 e_imp2 e_imp3 e_exp1 e_exp2 e_exp3", step_wh=1),
    ),
)

SDM630 = RegisterMap(
    model="sdm630",
    source=(
        "Eastron SDM630-Modbus V2 protocol as listed by github.com/volkszaehler/mbmd (meters/rs485/sdm.go) and "
        "github.com/plebann/eastron_SDM_HA_integration (docs/registers-sdm630.md); 80 registers a request: "
        "lamaplc.com, Eastron SDM Modbus"
    ),
    marks={"f32": 0x00000000, "na": 0x0000, "u32": 0xFFFFFFFF},
    writes=frozenset({16}),
    max_read=80,
    holding=(
        Row(0x000A, "f32", "system_type"),
        Row(0x0012, "f32", "parity_stop"),
        Row(0x0014, "f32", "unit"),
        Row(0x001C, "f32", "baud_code"),
        Row(0xFC00, "u32", "serial_number"),
    ),
    inputs=(
        *_series(0x0000, "f32", "v1 v2 v3"),
        *_series(0x0006, "f32", "i1 i2 i3"),
        *_series(0x000C, "f32", "p1 p2 p3"),
        *_series(0x0012, "f32", "s1 s2 s3"),
        *_series(0x0018, "f32", "q1 q2 q3"),
        *_series(0x001E, "f32", "pf1 pf2 pf3"),
        *_series(0x0024, "f32", "phi1 phi2 phi3"),
        Row(0x002A, "f32", "v_mean"),
        Row(0x002C, "na", words=2),
        *_series(0x002E, "f32", "i_mean i_sum"),
        Row(0x0032, "na", words=2),
        Row(0x0034, "f32", "p"),
        Row(0x0036, "na", words=2),
        Row(0x0038, "f32", "s"),
        Row(0x003A, "na", words=2),
        *_series(0x003C, "f32", "q pf"),
        Row(0x0040, "na", words=2),
        Row(0x0042, "f32", "phi"),
        Row(0x0044, "na", words=2),
        Row(0x0046, "f32", "f"),
        *_series(0x0048, "f32", "e_imp e_exp eq_imp eq_exp", step_wh=10),
        *_series(0x00C8, "f32", "v12 v23 v31 v_line_mean"),
        Row(0x00E0, "f32", "in"),
        Row(0x00E2, "na", words=8),
        *_series(0x00EA, "f32", "thd_v1 thd_v2 thd_v3 thd_i1 thd_i2 thd_i3"),
        *_series(0x0156, "f32", "e_sum eq_sum", step_wh=10),
        *_series(0x015A, "f32", "e_imp1 e_imp2 e_imp3 e_exp1 e_exp2 e_exp3", step_wh=10),
        *_series(0x0166, "f32", "e_sum1 e_sum2 e_sum3", step_wh=10),
        *_series(0x016C, "f32", "eq_imp1 eq_imp2 eq_imp3 eq_exp1 eq_exp2 eq_exp3", step_wh=10),
    ),
)

GOODWE_DNS = RegisterMap(
    model="goodwe-dns",
    source=(
        "github.com/marcelblijleven/goodwe (goodwe/dt.py); which registers a single-phase D-NS leaves at 0xFFFF: "
        "its capture tests/sample/dt/GW5000D-NS_running_data.hex"
    ),
    marks={"u16": 0xFFFF, "s16": 0xFFFF, "u32": 0xFFFFFFFF, "na": 0xFFFF},
    writes=frozenset({6, 16}),
    holding=(
        Row(30001, "na", words=3),
        Row(30004, "str", "serial", words=8),
        Row(30012, "str", "model_text", words=5),
        Row(30017, "na", words=17),
        *_series(30034, "u16", "dsp1_version dsp2_version arm_version"),
        Row(30037, "na", words=4),
        *_series(30100, "u16", "clock_year_month clock_day_hour clock_minute_second"),
        Row(30103, "u16", "v_dc1", scale=10),
        Row(30104, "u16", "i_dc1", scale=10),
        Row(30105, "u16", "v_dc2", scale=10),
        Row(30106, "u16", "i_dc2", scale=10),
        Row(30107, "na", words=11),
        Row(30118, "u16", "v1", scale=10),
        Row(30119, "na", words=2),
        Row(30121, "u16", "i1", scale=10),
        Row(30122, "na", words=2),
        Row(30124, "u16", "f", scale=100),
        Row(30125, "na", words=2),
        Row(30127, "u32", "p"),
        Row(30129, "u16", "status"),
        Row(30130, "u32", "fault"),
        Row(30132, "u16", "warning"),
        Row(30133, "na", words=8),
        Row(30141, "s16", "temp", scale=10),
        Row(30142, "na", words=2),
        Row(30144, "u16", "e_day", step_wh=100),
        Row(30145, "u32", "e_total", step_wh=100),
        Row(30147, "u32", "hours_total"),
        Row(30149, "u16", "country"),
        Row(30150, "na", words=13),
        Row(30163, "u16", "v_bus", scale=10),
        Row(30164, "na", words=9),
    ),
)

SUN2000 = RegisterMap(
    model="sun2000",
    source="Huawei SUN2000 registers as listed by github.com/wlcrs/huawei-solar-lib (src/huawei_solar/registers.py)",
    marks={"u16": 0xFFFF, "s16": 0x7FFF, "u32": 0xFFFFFFFF, "s32": 0x7FFFFFFF, "na": 0xFFFF},
    writes=frozenset({6, 16}),
    holding=(
        Row(30000, "str", "model_text", words=15),
        Row(30015, "str", "serial", words=10),
        Row(30025, "str", "part_number", words=10),
        Row(30035, "str", "firmware", words=15),
        Row(30070, "u16", "model_word"),
        Row(30071, "u16", "strings"),
        Row(30072, "u16", "trackers"),
        Row(30073, "u32", "p_rated"),
        Row(30075, "u32", "p_max"),
        Row(32000, "u16", "state_1"),
        Row(32002, "u16", "state_2"),
        Row(32003, "u32", "state_3"),
        *_series(32008, "u16", "alarm_1 alarm_2 alarm_3"),
        Row(32016, "s16", "v_dc1", scale=10),
        Row(32017, "s16", "i_dc1", scale=100),
        Row(32018, "s16", "v_dc2", scale=10),
        Row(32019, "s16", "i_dc2", scale=100),
        Row(32064, "s32", "p_dc"),
        *_series(32066, "u16", "v12 v23 v31 v1 v2 v3", scale=10),
        *_series(32072, "s32", "i1 i2 i3", scale=1000),
        Row(32078, "s32", "p_day_max"),
        Row(32080, "s32", "p"),
        Row(32082, "s32", "q"),
        Row(32084, "s16", "pf", scale=1000),
        Row(32085, "u16", "f", scale=100),
        Row(32086, "u16", "efficiency", scale=100),
        Row(32087, "s16", "temp", scale=10),
        Row(32088, "u16", "insulation", scale=1000),
        Row(32089, "u16", "status"),
        Row(32090, "u16", "fault"),
        Row(32106, "u32", "e_total", step_wh=10),
        Row(32114, "u32", "e_day", step_wh=10),
    ),
)

MAPS = {map_.model: map_ for map_ in (CCM4, SDM630, GOODWE_DNS, SUN2000)}
"""Every map by the kind that a site-spec names."""
