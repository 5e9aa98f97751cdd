/** Remarks that several readers make. */
export const noStartRemark = "times since the beginning only: read as beginning at 2026-01-01T00:00:00Z"
export const irregularRemark = "times are not regular: read as points, not as a waveform"
