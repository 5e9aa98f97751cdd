/** Problems as FHIR tells them: an OperationOutcome. */
import type { FastifyReply } from "fastify"
import type { Problem } from "./problem.ts"

/** Whether an address is one of FHIR's, where every refusal is an OperationOutcome (FHIR R4 http §2.21.0.4). */
export function isFhirAddress(url: string): boolean {
  return /^\/fhir(?:[/?]|$)/.test(url)
}

/** FHIR's issue types for the kinds of problems that there are. */
function issueCodeOf(status: number): string {
  if (status === 401) return "login"
  if (status === 403) return "forbidden"
  if (status === 404) return "not-found"
  if (status === 405 || status === 406 || status === 415) return "not-supported"
  if (status === 413) return "too-long"
  if (status === 429) return "throttled"
  if (status === 503) return "transient"
  return status >= 500 ? "exception" : "value"
}

export function sendOutcome(reply: FastifyReply, problem: Problem): FastifyReply {
  const { detail, parameter, rule, retryAfterSeconds } = problem.facts
  if (retryAfterSeconds !== undefined) reply.header("retry-after", String(retryAfterSeconds))
  if (problem.status === 401) reply.header("www-authenticate", 'Bearer realm="tidemark"')
  const said = rule?.startsWith("must ") ? `${parameter} ${rule}` : rule
  const diagnostics = rule === undefined || detail.includes(rule) ? detail : `${detail}: ${said}`
  const issue = {
    severity: "error",
    code: issueCodeOf(problem.status),
    details: { text: problem.body.title },
    diagnostics,
    ...(parameter === undefined ? {} : { expression: [`http.${parameter}`] }),
  }
  return reply
    .code(problem.status)
    .type("application/fhir+json; charset=utf-8")
    .send(`${JSON.stringify({ resourceType: "OperationOutcome", issue: [issue] })}\n`)
}
