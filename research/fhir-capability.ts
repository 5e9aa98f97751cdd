/** What can be asked of the FHIR routes, as FHIR tells it. */
import { metricSystem, systems } from "./fhir.ts"
import { formatMs } from "./instant.ts"

function parameter(name: string, type: "reference" | "token" | "date", documentation: string) {
  return { name, type, documentation }
}

export function makeCapabilityStatement(origin: string, nowMs: number) {
  return {
    resourceType: "CapabilityStatement",
    status: "active",
    date: formatMs(Math.floor(nowMs)),
    kind: "instance",
    implementation: { description: `Sealed readings of the log ${origin}` },
    fhirVersion: "4.0.1",
    format: ["json", "application/fhir+ndjson"],
    rest: [
      {
        mode: "server",
        resource: [
          {
            type: "Observation",
            interaction: [{ code: "read" }, { code: "search-type" }],
            searchParam: [
              parameter("device", "reference", "a device's id, or :identifier"),
              parameter("subject", "reference", "the wearer, known by the device's id"),
              parameter("patient", "reference", "as subject"),
              parameter("code", "token", `${systems.loinc}, ${systems.mdc} or ${metricSystem(origin)}`),
              parameter("date", "date", "eq, ge, gt, le, lt"),
            ],
          },
        ],
      },
    ],
  }
}
