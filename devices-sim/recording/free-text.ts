export const localTimeRemark = "local times without an offset are read as UTC"

const textLengthMax = 1000

/** Whether a statement can carry `text`: no control characters (PROTOCOL §1), and not so long that it fills a pack. */
export function carriesText(text: string): boolean {
  return text.length <= textLengthMax && !/[\u0000-\u001f\u007f]/.test(text)
}
