/** DOM elements as values: no markup from strings, so that nothing stored can become markup. */

export type Child = Node | string | number | null | undefined | false | readonly Child[]

/** `onclick` and the like are listeners, booleans are attributes that stand or do not, the rest are attributes. */
export type Attributes = Readonly<
  Record<string, string | number | boolean | null | undefined | ((event: never) => void)>
>

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  setAttributes(element, attributes)
  append(element, children)
  return element
}

const svgNamespace = "http://www.w3.org/2000/svg"

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(svgNamespace, tag)
  setAttributes(element, attributes)
  append(element, children)
  return element
}

export function replaceChildren(element: Element, ...children: readonly Child[]): void {
  element.replaceChildren()
  append(element, children)
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener)
    else element.setAttribute(name, value === true ? "" : String(value))
  }
}

function append(element: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue
    if (isList(child)) append(element, child)
    else element.append(child instanceof Node ? child : String(child))
  }
}

/** `Array.isArray` narrows to arrays that may be written to, and leaves these. */
function isList(child: Child): child is readonly Child[] {
  return Array.isArray(child)
}
