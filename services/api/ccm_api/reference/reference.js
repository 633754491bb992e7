// Shows openapi.json as a list of operations with their parameters, bodies and answers. Builds text nodes only.
'use strict'

const at = (id) => document.getElementById(id)

function element(name, content, attributes = {}) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...[content ?? []].flat())
  return made
}

const resolve = (api, part) =>
  part?.$ref ? part.$ref.slice(2).split('/').reduce((found, key) => found[key], api) : part

/** A schema as an outline of JSON: names and types, models expanded once on the way down. */
function outline(api, schema, indent = '', seen = []) {
  if (typeof schema !== 'object') return 'anything'
  if (schema.$ref) {
    const name = schema.$ref.split('/').pop()
    return seen.includes(name) ? name : outline(api, resolve(api, schema), indent, [...seen, name])
  }
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return choices.map((each) => outline(api, each, indent, seen)).join(' | ')
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(' | ')
  if ('const' in schema) return JSON.stringify(schema.const)
  if (schema.type === 'array') {
    const items = schema.prefixItems?.map((each) => outline(api, each, indent, seen)).join(', ')
    return `[${items ?? outline(api, schema.items, indent, seen)}]`
  }
  if (schema.properties) {
    const inner = `${indent}  `
    const required = schema.required ?? []
    const rows = Object.entries(schema.properties).map(
      ([key, value]) =>
        `${inner}${key}${required.includes(key) ? '' : '?'}: ${outline(api, value, inner, seen)}`,
    )
    return `{\n${rows.join('\n')}\n${indent}}`
  }
  if (schema.type === 'object') return `{ name: ${outline(api, schema.additionalProperties, indent, seen)} }`
  const range = [schema.minimum ?? schema.exclusiveMinimum, schema.maximum].filter((each) => each !== undefined)
  return [schema.type ?? 'anything', schema.format, range.length ? range.join('...') : null, schema.pattern]
    .filter(Boolean)
    .join(' ')
}

function parameters(api, operation) {
  if (!operation.parameters?.length) return []
  const rows = operation.parameters.map((each) =>
    element('tr', [
      element('td', element('code', each.name + (each.required ? '' : '?'))),
      element('td', each.in),
      element('td', element('code', outline(api, each.schema))),
      element('td', each.description ?? ''),
    ]),
  )
  return [element('h3', 'Parameters'), element('table', rows)]
}

function body(api, operation) {
  return Object.entries(operation.requestBody?.content ?? {}).flatMap(([type, content]) => [
    element('h3', `Body: ${type}`),
    element('pre', outline(api, content.schema)),
  ])
}

function answers(api, operation) {
  return Object.entries(operation.responses).flatMap(([status, given]) => {
    const answer = resolve(api, given)
    const heading = element('h3', `${status}: ${answer.description}`)
    if (Number(status) >= 400) return [heading]
    return [
      heading,
      ...Object.entries(answer.content ?? {}).map(([type, content]) =>
        element('pre', `${type}\n${outline(api, content.schema)}`),
      ),
    ]
  })
}

function operationOf(api, path, method, operation) {
  const isPublic = operation.security?.length === 0
  return element('details', [
    element('summary', [
      element('b', method.toUpperCase()),
      element('code', path),
      ` ${operation.summary ?? ''} `,
      ...(isPublic ? [element('span', 'no sign-in needed', { class: 'public' })] : []),
    ]),
    element('p', operation.description ?? ''),
    ...parameters(api, operation),
    ...body(api, operation),
    ...answers(api, operation),
  ])
}

function show(api) {
  at('title').textContent = `${api.info.title} REST API ${api.info.version}`
  at('description').textContent = api.info.description
  at('tags').replaceChildren(...api.tags.map((tag) => element('a', tag.name, { href: `#${tag.name}` })))
  const all = Object.entries(api.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ path, method, operation })),
  )
  const groups = api.tags.flatMap((tag) => [
    element('h2', `${tag.name}: ${tag.description}`, { id: tag.name }),
    ...all
      .filter(({ operation }) => operation.tags?.[0] === tag.name)
      .map(({ path, method, operation }) => operationOf(api, path, method, operation)),
  ])
  at('operations').replaceChildren(...groups)
}

fetch('/api/v1/openapi.json', { credentials: 'same-origin' })
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(show)
  .catch((error) => at('operations').replaceChildren(element('p', `The document cannot be read: ${error.message}`)))
