import { computed, ref } from 'vue'

const PAGES = ['solar', 'history', 'devices', 'outputs', 'services', 'settings', 'info', 'scan', 'sync', 'lines', 'models'] as const
export type PageName = (typeof PAGES)[number]

const hash = ref(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
})

const parts = computed(() => hash.value.replace(/^#\/?/, '').split('/').map(decodeURIComponent))

/** The page in the address: `#/devices` or, with what it shows, `#/solar/house`. */
export const page = computed<PageName>(() => {
  return PAGES.find((each) => each === parts.value[0]) ?? 'solar'
})

export const shown = computed(() => parts.value[1] ?? '')

export const linkTo = (name: PageName, what = ''): string =>
  `#/${name}${what ? `/${encodeURIComponent(what)}` : ''}`
