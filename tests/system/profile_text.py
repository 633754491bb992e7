"""A device profile as a site's owner would write it."""

# v1 of the Eastron SDM630: input register 0, float (SDM630 Modbus protocol V1.8, section 2.4.1).
PROFILE = """brand: acme
brand_name: Acme
type: meter
class: three-phase
series: X
source: "Eastron SDM630 Modbus protocol V1.8, https://www.eastroneurope.com"
protocol: [modbus-rtu]
defaults: {function: 4, type: f32, poll: fast}
points:
  - {metric: v1, address: 0}
models:
  - {id: x3, model: X-3}
"""
