// What the API sends: the models of ccm_contracts and of ccm_api/shapes.py. null is "not available", never 0.

export type Quality = 'good' | 'stale' | 'bad'
export type Role = 'viewer' | 'operator' | 'admin'
export type Value = number | string | null

export interface Session {
  user: string
  role: Role
  must_change_password: boolean
}

export interface Info {
  serial: string
  model: 'lite' | 'lite-plus' | 'lite-nbiot' | 'pro'
  alias: string
  version: string
  features: ('ethernet' | 'modem' | 'relays' | 'analog')[]
  timezone: string
  interfaces: { name: string; mac: string }[]
  mode: { mode: 'reading' | 'synchronisation' } | null
  services: ServiceView[]
  links: LinkState[]
}

export interface ServiceView {
  service: string
  version: string
  ts: string
  started: string
  problem: string | null
  stale: boolean
}

export interface LinkState {
  link: string
  enabled: boolean
  connected: boolean
  since: string
  error: string | null
  pending: number
  oldest_s?: number | null
  hours_left?: number | null
  bytes_today?: number
  budget_left?: number | null
  dropped?: number
  ftp?: FtpOutbox | null
}

export interface LinkLedger {
  link: string
  devices: { device: string; last_seq: number; complete_to: number | null }[]
  missing: { device: string; first_seq: number; last_seq: number; reason: 'expired' | 'never-stored' | 'refused' }[]
}

export interface DeviceState {
  device: string
  online: boolean
  since: string
  serial: string | null
  firmware: string | null
  error: string | null
}

export interface Device {
  id: string
  alias: string
  model: string
  line: string
  host: string | null
  tcp_port: number | null
  unit: number
  enabled: boolean
  online: boolean
  state: DeviceState | null
  ts: string | null
  quality: Quality | null
  secondary: { via: string; index: number } | null
}

export interface Measured {
  value: Value
  unit: string
  label: string
}

export interface DeviceData {
  device: string
  ts: string
  quality: Quality
  values: Record<string, Measured>
}

export interface Reading {
  device: string
  ts: string
  quality: Quality
  values: Record<string, Value>
}

export interface Balance {
  plant: string
  ts: string
  p_prod: number | null
  p_grid: number | null
  p_load: number | null
  p_self: number | null
  p_bat: number | null
  self_consumption: number | null
  self_sufficiency: number | null
  quality: Quality
  missing: string[]
}

export interface Plant {
  id: string
  alias: string
  battery: string[]
  balance: Balance | null
}

/** What a change of an output says on the stream. */
export interface OutputState {
  output: string
  value: number
  since: string
  reason: string
  until: string | null
  safe: number
  switches: number
  fault: string | null
}

export interface Output {
  id: string
  alias: string
  unit: string
  minimum: number
  maximum: number
  value: number | null
  since: string | null
  reason: string
  until: string | null
  safe: number
  switches: number
  fault: string | null
}

export type LedPattern =
  | 'off'
  | 'on'
  | 'blink_1s'
  | 'blink_2s'
  | 'blip_1_in_3s'
  | 'blip_2_in_3s'
  | 'quick'
  | 'flicker'

export interface Led {
  led: 'blue' | 'green' | 'yellow'
  pattern: LedPattern
  meaning: string
}

export interface HistorySeries {
  metric: string
  resolution_s: number
  points: [string, number | null, number | null, number | null][]
}

export interface Assigned {
  line: string
  unit: number
  serial: string
  model: string
  /** Its id in the configuration, once it is there. */
  device: string | null
}

export interface Mode {
  mode: 'reading' | 'synchronisation'
  since: string
  until: string | null
  assigned: number[]
  devices: Assigned[]
  problem: string | null
}

export interface Candidate {
  model: string
  name: string
  confidence: 'certain' | 'likely' | 'possible'
}

/** Rate 0 on a network connection. */
export interface LineSetting {
  baudrate: number
  format: string
}

export interface Found {
  unit: number
  setting: LineSetting
  kind: 'device' | 'unknown' | 'conflict'
  candidates: Candidate[]
  serial: string | null
  firmware: string | null
  maker: string | null
  answered: string
}

export interface Scan {
  line: string
  host?: string | null
  tcp_port?: number | null
  status: 'running' | 'done' | 'cancelled' | 'failed'
  depth: 'quick' | 'full'
  ts: string
  percent: number
  left_s: number | null
  setting: LineSetting | null
  unit: number | null
  found: Found[]
  error: string | null
}

export interface Port {
  id: string
  kind: 'rs485' | 'rs232' | 'tcp' | 'modbus-tcp'
  alias: string
  path: string | null
  host: string | null
  tcp_port: number | null
  baudrate: number | null
  format: string | null
  role: 'native' | 'external' | null
  devices?: string[]
}

export interface Adapter {
  path: string
  node: string
  name: string
}

export type PortKind = 'rs485' | 'rs232' | 'tcp'

/** A line as the configuration has it; fields that the portal does not know go back as they came. */
export interface PortSection {
  id: string
  kind: PortKind
  path: string | null
  host: string | null
  tcp_port: number
  baudrate: number
  format: string
  role: 'native' | 'external'
  alias: string
  rs485: {
    mode: 'auto' | 'on' | 'off'
    rts_while_sending: 'high' | 'low'
    delay_before_send_ms: number
    delay_after_send_ms: number
  }
}

/** One step of a test of settings, and what to do when it failed. */
export interface TestStep {
  step: string
  outcome: 'ok' | 'failed' | 'unknown' | 'skipped'
  text: string
  hint: string
}

export interface TestReport {
  ok: boolean
  steps: TestStep[]
}

export type MqttPermission = 'outputs' | 'devices' | 'config' | 'send'

/** The section `mqtt` of the configuration; secrets are masked. What the form does not show is sent back unchanged. */
export interface MqttSettings {
  enabled: boolean
  broker: 'default' | 'own'
  host: string
  port: number
  client_id: string
  user: string
  password: string
  keepalive_s: number
  tls: {
    type: 'none' | 'ca' | 'self-signed'
    certificate: string
    client_certificate: string
    client_key: string
  }
  prefix_sub: string
  prefix_pub: string
  qos: 0 | 1 | 2
  latency_s: 0 | 10 | 60 | 300 | 900 | 3600
  accept_commands: boolean
  allow: MqttPermission[]
  protocol: 'auto' | '5' | '3.1.1'
  home_assistant: { enabled: boolean; prefix: string }
  sparkplug: { enabled: boolean; group_id: string }
  batch: { enabled: boolean; max_messages: number; max_wait_s: number }
  compression: 'none' | 'gzip'
  backlog: Backlog
}

export interface Backlog {
  order: 'live-first' | 'oldest-first'
  /** 0: no limit; also of the budget. */
  rate_limit_kbps: number
  bytes_per_day: number
}

export interface UnitStats {
  requests: number
  answers: number
  timeouts: number
  crc_errors: number
  exceptions: number
  foreign: number
  response_ms: number | null
  wire_share: number
  /** Answers by response time; its bounds are in `LineHealth.vue`. */
  histogram: number[]
  late: number
}

export interface LineStats {
  port: string
  open: boolean
  error: string | null
  window_s: number
  utilisation: number
  planned: number | null
  cycle_s: number | null
  requests: number
  answers: number
  timeouts: number
  crc_errors: number
  exceptions: number
  units: Record<string, UnitStats>
}

export interface Budget {
  line: string
  wanted: number
  utilisation: number
  fits: boolean
  devices: { device: string; interval_s: number; reachable_s: number; kept: boolean; share: number; reads: number }[]
  advice: string[]
}

/** A device as the configuration has it; fields that the portal does not know go back as they came. */
/** A model as the catalogue lists it. */
export interface CatalogModel {
  id: string
  type: string
  brand: string
  device_class: string
  series: string
  model: string
  own?: boolean
  commands: { name: string; label: string; unit: string; minimum: number; maximum: number }[]
}

/** A device profile of the site's own; one that was laid there by hand has no name. */
export interface ProfileInfo {
  file: string
  name: string | null
  tag: string | null
  models: string[]
  replaces: string[]
  fault: string | null
}

export interface DeviceSection {
  id: string
  poll_s: number
  host?: string | null
  tcp_port?: number
  max_in_flight?: number
  port?: string | null
  model?: string
  unit?: number
  alias?: string
  direction?: 'normal' | 'reversed'
  enabled?: boolean
  [field: string]: unknown
}

export interface Frame {
  number: number
  ts: string
  direction: 'tx' | 'rx'
  hex: string
  kind: 'request' | 'echo' | 'answer' | 'exception' | 'foreign' | 'corrupt' | 'noise'
  meaning: string
}

export interface TraceAnswer {
  line: string
  frames: Frame[]
  missed: number
}

export interface FtpOutbox {
  files: number
  bytes: number
  collecting_bytes: number
  next_file: string | null
  sending: string | null
  sent_bytes: number
  total_bytes: number
  sent_files: number
  last_file: string | null
  last_sent: string | null
}

export interface FtpStarted {
  files: number
  bytes: number
  sent_files_at_end: number
}

export interface FtpSettings {
  enabled: boolean
  server: string
  port: number
  directory: string
  user: string
  password: string
  tls: 'none' | 'explicit' | 'implicit'
  tls_certificate: { type: 'none' | 'ca' | 'self-signed'; certificate: string }
  backlog: Backlog
}

export interface GatewaySettings {
  serial: string
  model: string
  alias: string
}

export interface UserSettings {
  name: string
  role: Role
  /** Masked; what is no hash is a new password. */
  password_hash: string
  must_change: boolean
}

export interface SecuritySettings {
  users: UserSettings[]
}

/** What a configuration file would change, one field or one member of a list. */
export interface ConfigChange {
  field: string
  kind: 'added' | 'removed' | 'changed' | 'reordered'
  before: unknown
  after: unknown
}

export interface HistoricSettings {
  enabled: boolean
  latency_s: number
  format: 'csv' | 'json'
  csv: { delimiter: ',' | ';' | 'tab'; decimal: '.' | ','; bom: boolean }
  ftp: { enabled: boolean; every_s: number; at: string | null }
  /** Days; 0 is for ever. */
  retention: Record<'raw_days' | 'm1_days' | 'm15_days' | 'h1_days' | 'd1_days', number>
  max_mb: number
}

export interface ModbusSettings {
  enabled: boolean
  port: number
  line: string | null
  writes: boolean
  max_age_s: number
  clients: number
  requests_per_s: number
  allow: string[]
}

export interface ModbusState {
  listening: boolean
  port: number | null
  error: string | null
  clients: { address: string; requests: number; refused: number }[]
  lines: { line: string; from_memory: number; on_line: number }[]
}
