/** A command's failure that its user can mend: what is wrong, and how. Exit code 1, or 3 of a test that could not run. */
export class CommandFault extends Error {
  override readonly name = "CommandFault"
  readonly hint: string | null
  readonly exitCode: 1 | 3

  constructor(
    message: string,
    hint: string | null = null,
    options: ErrorOptions & { readonly exitCode?: 1 | 3 } = {},
  ) {
    super(message, options)
    this.hint = hint
    this.exitCode = options.exitCode ?? 1
  }
}

/** Arguments that do not fit. Exit code 2. */
export class UsageFault extends Error {
  override readonly name = "UsageFault"
}
