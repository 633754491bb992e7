"""The published map of the gateway's own registers, as Markdown, from the same table that answers reads. Pure."""

from collections.abc import Iterable

from ccm_bus_reader.server.image import (
    DEVICE_WORDS,
    DEVICES_AT,
    MOST_DEVICES,
    MOST_PLANTS,
    PLANT_WORDS,
    PLANTS_AT,
    Row,
    device_rows,
    head_rows,
    plant_rows,
)

TEXT = """# The gateway as a Modbus server

The gateway answers on Modbus TCP itself, so that an EMS, a SCADA or an installer's tool has everything at one address:
its own values and outputs at unit 255 (0 is the same), and the units of one line, 1 to 247, as if the master hung on
the line. It is off until section `modbus_server` of the configuration switches it on:

```yaml
modbus_server:
  enabled: true
  port: 1502                          # Modbus TCP; 502 needs a privilege that no service has
  line: ext                           # whose units are passed through; without it none are
  more: [{{line: native, port: 1503}}]  # further lines, each at a port of its own
  writes: false                       # true: masters may write to devices and outputs
  max_age_s: 10
  clients: 20
  requests_per_s: 100                 # of each client
  allow: [192.0.2.0/24]               # who may connect; nobody named: everybody
  devices: [grid, roof]               # order of the register blocks; the others follow
```

## Units of a line

- **Polled registers** are answered from what the gateway read last, without touching the line, if it is not older than
  `max_age_s`, or than 2.5 of the intervals in which it is polled. However many clients ask, the line carries no more.
- **Older ones** are refused with exception 11 (the device does not respond): an old number would be taken for the
  present one.
- **What is not polled** is asked on the line, between two reads of the gateway, of any unit; equal requests at the same
  time are one. A unit that does not answer is not asked again for 10 s (exception 11).
- **Writes** (functions 5, 6, 15, 16) are refused with exception 1 unless `writes` is on.
- Exception 6: more than `requests_per_s`, more than 16 requests waiting, or the line is busy (a search, a
  synchronisation). Exception 10: there is no such line now. A connection without a request for 300 s is closed.
- When `clients` are connected and another one comes, the one that has asked nothing for longest makes room, if that is
  5 s or more; else the new one is sent away.
- Who asks more than twice `requests_per_s`, or leaves its replies unread, is not heard for a while.

`GET /api/v1/services/modbus/state` shows the clients, and how many requests were answered from memory and on the line.

## Unit 255: the gateway's own registers

Functions 3 and 4 read the same registers; addresses are as on the wire, from 0; values of several registers are
big-endian. What is unknown, or stale, is NaN in an `f32`, -2^63 in an `s64`, 0xFFFF in a `u16`. Signs are the
gateway's: grid power is positive when importing, production is positive, battery power is positive when discharging.

### Gateway, from 0

{head}

Coils 0 and 1 are the relays (functions 1, 5, 15). With `writes` on, registers 100 to 102 can be written (6, 16).

### Plants, from {plants_at}, {plant_words} registers each, at most {most_plants}

In the order of the configuration: plant *n* (from 0) begins at {plants_at} + {plant_words} × *n*.

{plant}

### Devices, from {devices_at}, {device_words} registers each, at most {most_devices}

Device *n* (from 0) begins at {devices_at} + {device_words} × *n*, in the order of `modbus_server.devices`, then of
`devices`.

{device}
"""


def markdown() -> str:
    """`docs/modbus-server.md`."""
    return TEXT.format(
        head=_table(head_rows()),
        plant=_table(plant_rows()),
        device=_table(device_rows()),
        plants_at=PLANTS_AT,
        plant_words=PLANT_WORDS,
        most_plants=MOST_PLANTS,
        devices_at=DEVICES_AT,
        device_words=DEVICE_WORDS,
        most_devices=MOST_DEVICES,
    )


def _table(rows: Iterable[Row]) -> str:
    lines = ["| address | registers | type | unit | what |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {address} | {words} | {kind} | {unit} | {what} |" for address, words, kind, unit, what in rows
    ]
    return "\n".join(lines)
