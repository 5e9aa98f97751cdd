/** What an Observation's device and subject refer to: the device as it is enrolled, and a wearer known by its id alone. */
import { deviceSystem, formatResourceId, wearerSystem } from "./fhir.ts"
import type { Snapshot } from "./snapshot.ts"

export interface EnrolledDevice {
  readonly device: string
  readonly status: string
  readonly attributes: Readonly<Record<string, string>>
}

/** Null: no such device. */
export async function findDevice(snapshot: Snapshot, device: string): Promise<EnrolledDevice | null> {
  const [found] = await snapshot.query<EnrolledDevice>(
    "select device_id as device, status, attributes from devices where device_id = $1",
    [device],
  )
  return found ?? null
}

export function makeDevice({ device, status, attributes }: EnrolledDevice, origin: string) {
  const { make, model, firmware } = attributes
  return {
    resourceType: "Device",
    id: formatResourceId(device),
    identifier: [{ system: deviceSystem(origin), value: device }],
    status: status === "active" ? "active" : "inactive",
    ...(make === undefined || make === "" ? {} : { manufacturer: make }),
    ...(model === undefined || model === "" ? {} : { modelNumber: model }),
    ...(firmware === undefined || firmware === "" ? {} : { version: [{ value: firmware }] }),
    patient: { reference: `Patient/${formatResourceId(device)}` },
  }
}

export function makePatient({ device }: EnrolledDevice, origin: string) {
  return {
    resourceType: "Patient",
    id: formatResourceId(device),
    identifier: [{ system: wearerSystem(origin), value: device }],
  }
}
