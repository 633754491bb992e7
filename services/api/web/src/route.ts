import { computed, ref } from 'vue'

export type PageName = 'solar' | 'devices' | 'outputs' | 'info'

const hash = ref(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
})

const parts = computed(() => hash.value.replace(/^#\/?/, '').split('/').map(decodeURIComponent))

/** The page in the address: `#/devices` or, with what it shows, `#/solar/house`. */
export const page = computed<PageName>(() => {
  const name = parts.value[0]
  return name === 'devices' || name === 'outputs' || name === 'info' ? name : 'solar'
})

export const shown = computed(() => parts.value[1] ?? '')

export const linkTo = (name: PageName, what = ''): string =>
  `#/${name}${what ? `/${encodeURIComponent(what)}` : ''}`
