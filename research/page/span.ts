/** A range of time, in Unix seconds. */
export interface Span {
  readonly from: number
  readonly to: number
}

export function sizeOf({ from, to }: Span): number {
  return to - from
}

/** A hair at each side, so that the ends can be seen. */
export function withAir({ from, to }: Span): Span {
  const air = Math.max((to - from) * 0.01, 0.5)
  return { from: from - air, to: to + air }
}

/** How a range of time is zoomed about a point in it, and never below a hundredth of a second. */
export function zoomSpan({ from, to }: Span, factor: number, about: number): Span {
  const size = Math.max((to - from) * factor, 0.01)
  const share = to === from ? 0.5 : (about - from) / (to - from)
  return { from: about - size * share, to: about + size * (1 - share) }
}
