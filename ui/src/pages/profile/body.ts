// The profile as the REST API has it. Members the page does not know are sent back as they came.

import type { Id } from "../../lib/types";

export type PayloadType = "JSON" | "PROTOBUF" | "CBOR" | "MSGPACK";

export interface Payload {
  transportPayloadType: PayloadType;
  deviceTelemetryProtoSchema?: string;
  deviceAttributesProtoSchema?: string;
  deviceRpcRequestProtoSchema?: string;
  deviceRpcResponseProtoSchema?: string;
  enableCompatibilityWithJsonPayloadFormat?: boolean;
  useJsonPayloadFormatForDefaultDownlinkTopics?: boolean;
  [name: string]: unknown;
}

export interface Transport {
  type: string;
  deviceTelemetryTopic?: string;
  deviceAttributesTopic?: string;
  deviceAttributesSubscribeTopic?: string;
  transportPayloadTypeConfiguration?: Payload;
  sparkplug?: boolean;
  sparkplugAttributesMetricNames?: string[] | null;
  sendAckOnValidationException?: boolean;
  [name: string]: unknown;
}

export interface Provision {
  type: ProvisionType;
  provisionDeviceSecret: string | null;
  certificateRegExPattern?: string;
  allowCreateNewDevicesByX509Certificate?: boolean;
  chainVerification?: "STRICT" | "COMPATIBLE";
  certificateRevocationList?: string | null;
  [name: string]: unknown;
}

export type ProvisionType = "DISABLED" | "ALLOW_CREATE_NEW_DEVICES" | "CHECK_PRE_PROVISIONED_DEVICES" | "X509_CERTIFICATE_CHAIN";

export interface Extension {
  clientRpc?: { type: "WEBHOOK" | "APP"; url?: string; secret?: string | null; secretSet?: boolean; timeoutMs?: number; retries?: number } | null;
  forwarding?: Record<string, unknown>[] | null;
}

export interface Profile {
  id?: Id;
  createdTime?: number;
  name: string;
  description?: string | null;
  type: "DEFAULT";
  transportType: string;
  provisionType: ProvisionType;
  provisionDeviceKey?: string | null;
  default?: boolean;
  version?: number;
  profileData: {
    configuration: { type: "DEFAULT" };
    transportConfiguration: Transport;
    provisionConfiguration: Provision | null;
    thingport?: Extension | null;
    [name: string]: unknown;
  };
  [name: string]: unknown;
}

export const TELEMETRY = "v1/devices/me/telemetry";
export const ATTRIBUTES = "v1/devices/me/attributes";

export function newProfile(name: string, transport: string): Profile {
  const mqtt: Transport = {
    type: "MQTT",
    deviceTelemetryTopic: TELEMETRY,
    deviceAttributesTopic: ATTRIBUTES,
    deviceAttributesSubscribeTopic: ATTRIBUTES,
    transportPayloadTypeConfiguration: { transportPayloadType: "JSON" },
    sparkplug: false,
    sendAckOnValidationException: false,
  };
  return {
    name,
    type: "DEFAULT",
    transportType: transport,
    provisionType: "DISABLED",
    profileData: {
      configuration: { type: "DEFAULT" },
      transportConfiguration: transport === "MQTT" ? mqtt : { type: transport },
      provisionConfiguration: { type: "DISABLED", provisionDeviceSecret: null },
    },
  };
}

export function payloadOf(profile: Profile): string {
  const transport = profile.profileData.transportConfiguration;
  if (transport.sparkplug) return "Sparkplug B";
  return transport.transportPayloadTypeConfiguration?.transportPayloadType ?? "JSON";
}

// Whether a topic fits a filter (MQTT 5, 4.7).
export function fits(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [n, level] of wanted.entries()) {
    if (level === "#") return true;
    if (levels[n] === undefined || (level !== "+" && level !== levels[n])) return false;
  }
  return wanted.length === levels.length;
}
