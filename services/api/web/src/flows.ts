import type { Balance } from './types'

/** Below this a flow is noise of the meters and is drawn at rest, W. */
const IDLE_W = 5

/** Who feeds whom, W; all are zero or positive. */
export interface Flows {
  solarHome: number
  solarGrid: number
  solarBattery: number
  gridHome: number
  gridBattery: number
  batteryHome: number
  batteryGrid: number
}

const AT_REST: Flows = {
  solarHome: 0,
  solarGrid: 0,
  solarBattery: 0,
  gridHome: 0,
  gridBattery: 0,
  batteryHome: 0,
  batteryGrid: 0,
}

/** The flows of a balance. Export is taken from solar first, then the battery is charged, the rest feeds the house. */
export function flowsOf(balance: Balance | undefined): Flows {
  if (!balance || balance.p_prod === null || balance.p_grid === null) return AT_REST
  const production = Math.max(balance.p_prod, 0)
  const imported = Math.max(balance.p_grid, 0)
  const exported = Math.max(-balance.p_grid, 0)
  const charge = Math.max(-(balance.p_bat ?? 0), 0)
  const discharge = Math.max(balance.p_bat ?? 0, 0)
  const solarGrid = Math.min(exported, production)
  const batteryGrid = Math.min(exported - solarGrid, discharge)
  const solarBattery = Math.min(charge, production - solarGrid)
  const gridBattery = Math.min(charge - solarBattery, imported)
  return {
    solarGrid,
    batteryGrid,
    solarBattery,
    gridBattery,
    solarHome: production - solarGrid - solarBattery,
    gridHome: imported - gridBattery,
    batteryHome: discharge - batteryGrid,
  }
}

export const isFlowing = (power_w: number): boolean => power_w >= IDLE_W
