import { ref, shallowRef } from 'vue'
import { api, type Problem, problemOf } from './api'
import type { CatalogModel } from './types'

/** Every model that can be read, without its points; asked for once, and again after a profile was sent. */
export const models = shallowRef<CatalogModel[]>()
export const catalogFailure = ref<Problem>()

export async function loadModels(): Promise<void> {
  try {
    models.value = (await api.get<{ models: CatalogModel[] }>('catalog')).models
    catalogFailure.value = undefined
  } catch (error) {
    catalogFailure.value = problemOf(error)
  }
}
