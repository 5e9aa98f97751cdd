import { Client } from "pg"
import { roleName } from "./cluster.ts"

/** Any number that nobody else locks in the database `postgres`, where nothing else happens: "tide" and "mark". */
const holdersLock = "1953064037, 1835102827"

/** What a server says of itself. */
export interface ServerIdentity {
  readonly systemIdentifier: string
  readonly cluster: string
  /** The name of the process that started it; "" if it was started by hand. */
  readonly starter: string
}

/**
 * One who needs the server to run: a connection of its own with a session lock, shared among all holders. When its
 * process dies, however it dies, the kernel closes the connection and the server lets go of the lock.
 */
export class Holder {
  readonly #client: Client
  #lost = false
  /** Resolves when the connection is gone, and the lock with it. */
  readonly whenLost: Promise<void>

  private constructor(client: Client) {
    this.#client = client
    this.whenLost = new Promise((resolve) => {
      const lose = (): void => {
        this.#lost = true
        resolve()
      }
      client.on("error", lose)
      client.on("end", lose)
    })
  }

  /** Connects. Fails as `pg` does: the server may be starting (57P03), stopping, or gone. */
  static async connect(port: number, password: string): Promise<Holder> {
    const client = new Client({
      host: "127.0.0.1",
      port,
      user: roleName,
      password,
      database: "postgres",
      ssl: false,
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
      application_name: "tidemark holder",
    })
    const holder = new Holder(client)
    try {
      await client.connect()
    } catch (error) {
      await client.end().catch(() => undefined)
      throw error
    }
    return holder
  }

  get lost(): boolean {
    return this.#lost
  }

  async identify(): Promise<ServerIdentity> {
    const { rows } = await this.#client.query<{ id: string; folder: string; starter: string | null }>(
      `select system_identifier::text as id, current_setting('data_directory') as folder,
              current_setting('tidemark.starter', true) as starter
         from pg_control_system()`,
    )
    const [row] = rows
    if (row === undefined) throw new Error("pg_control_system() gives one row")
    return { systemIdentifier: row.id, cluster: row.folder, starter: row.starter ?? "" }
  }

  /**
   * Takes the shared lock. Waits while another one holds it alone, which is about to stop the server: then this fails
   * with the connection.
   *
   * @returns whether nobody else held the server at that moment
   */
  async hold(): Promise<boolean> {
    const alone = await this.#tryAlone()
    await this.#client.query(`select pg_advisory_lock_shared(${holdersLock})`)
    if (alone) await this.#client.query(`select pg_advisory_unlock(${holdersLock})`)
    return alone
  }

  /**
   * Gives the shared lock back and tries for the exclusive one. Of any number that let go at the same time exactly one
   * gets it: who fails does so because another still holds, and that one tries later. From then on nobody can begin to
   * hold this server.
   *
   * @returns whether this was the last holder, which has to stop the server
   */
  async letGo(): Promise<boolean> {
    // Released first: two who both kept their shared lock while trying would both fail, and leave the server running.
    await this.#client.query(`select pg_advisory_unlock_shared(${holdersLock})`)
    return this.#tryAlone()
  }

  async disconnect(): Promise<void> {
    await this.#client.end().catch(() => undefined)
  }

  /** Makes the database `tidemark` where it is missing. */
  async makeDatabase(): Promise<void> {
    const { rows } = await this.#client.query("select from pg_database where datname = $1", [roleName])
    if (rows.length > 0) return
    await this.#client.query(`create database ${roleName}`).catch((error: { code?: string }) => {
      // Another start was quicker: duplicate_database, or the unique index underneath.
      if (error.code !== "42P04" && error.code !== "23505") throw error
    })
  }

  async #tryAlone(): Promise<boolean> {
    const { rows } = await this.#client.query<{ got: boolean }>(
      `select pg_try_advisory_lock(${holdersLock}) as got`,
    )
    return rows[0]?.got === true
  }
}
