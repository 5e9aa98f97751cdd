/** What can be asked of the FHIR routes, as FHIR tells it. */
import { metricSystem, systems } from "./fhir.ts"
import { formatMs } from "./instant.ts"

function parameter(name: string, type: "reference" | "token" | "date", documentation: string) {
  return { name, type, documentation }
}

export function makeCapabilityStatement(origin: string, base: string, nowMs: number) {
  return {
    resourceType: "CapabilityStatement",
    status: "active",
    date: formatMs(Math.floor(nowMs)),
    kind: "instance",
    implementation: { description: `Sealed readings of the log ${origin}`, url: base },
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
              parameter("category", "token", `${systems.category}, or a code`),
              parameter("date", "date", "eq, ge, gt, le, lt, sa, eb"),
              parameter("_lastUpdated", "date", "when it arrived; as date"),
            ],
            documentation:
              "By GET, or by POST to _search with a form. _sort takes date and -date, else device and code; _count is at most 1000, and 0 is _summary=count; _total takes none and accurate.",
          },
          {
            type: "Device",
            interaction: [{ code: "read" }],
            documentation: "As it is enrolled; the id is the device's, with . in place of _.",
          },
          {
            type: "Patient",
            interaction: [{ code: "read" }],
            documentation: "A wearer, known by the device's id alone.",
          },
        ],
      },
    ],
  }
}
