// Bodies of the REST API, as far as the page looks at them.

export interface Id {
  entityType: string;
  id: string;
}

export interface Page<T> {
  data: T[];
  totalPages: number;
  totalElements: number;
  hasNext: boolean;
}

export interface Device {
  id: Id;
  createdTime: number;
  tenantId: Id;
  customerId: Id;
  name: string;
  type: string;
  label: string | null;
  deviceProfileId: Id;
  firmwareId: Id | null;
  softwareId: Id | null;
  additionalInfo: { gateway?: boolean; description?: string; [name: string]: unknown } | null;
  version: number;
}

export interface DeviceRow extends Device {
  customerTitle: string | null;
  customerIsPublic: boolean;
  deviceProfileName: string;
  active: boolean;
}

// A row of the fleet: what people look for first when a device is quiet.
export interface FleetDevice extends DeviceRow {
  connected: boolean;
  lastReadingTime: number | null;
  lastRefusal: { at: number; reason: string; sentence: string } | null;
}

export interface ProfileName {
  id: Id;
  name: string;
}

export interface Customer {
  id: Id;
  title: string;
}

export interface Incident {
  at: number;
  firstAt: number;
  count: number;
  reason: string;
  fault: "device" | "operator" | "server" | "network" | "nobody";
  sentence: string;
  remedy: string;
  detail: string;
  deviceId: Id | null;
  remote: string;
  clientId: string;
  userName: string;
  protocol: string;
}

export interface Presence {
  connected: {
    connected: boolean;
    lastConnectTime: number | null;
    lastDisconnectTime: number | null;
    line: {
      protocol: string;
      transport: string;
      address: string;
      clientId: string;
      tls: { version: string; cipher: string } | null;
    } | null;
  };
  reporting: { active: boolean; lastActivityTime: number | null };
}
