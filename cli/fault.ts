/** A command's failure that its user can mend: what is wrong, and how. Exit code 1. */
export class CommandFault extends Error {
  override readonly name = "CommandFault"
  readonly hint: string | null

  constructor(message: string, hint: string | null = null, options?: ErrorOptions) {
    super(message, options)
    this.hint = hint
  }
}

/** Arguments that do not fit. Exit code 2. */
export class UsageFault extends Error {
  override readonly name = "UsageFault"
}
