// Short names for what the API gives.
import type { components } from './schema';

type Schemas = components['schemas'];
export type Conversation = Schemas['ConversationView'];
export type Message = Schemas['MessageView'];
export type Part = Schemas['PartView'];
export type Delivery = Schemas['DeliveryView'];
export type Integration = Schemas['IntegrationView'];
export type Chatbot = Schemas['ChatbotView'];
export type ApiKey = Schemas['KeyView'];
export type Trace = Schemas['Trace'];
export type EventView = Schemas['EventView'];
export type NumberHealth = Schemas['NumberHealth'];
export type User = Schemas['UserView'];
export type AlertView = Schemas['AlertView'];
export type Endpoint = Schemas['EndpointView'];
export type Contact = Schemas['KnownContact'];
export type Media = Schemas['MediaView'];
export type Trial = Schemas['Trial'];
export type Day = Schemas['DayFigures'];
export type ChatbotFigures = Schemas['ChatbotFigures'];
export type Session = Schemas['SessionView'];
export type Role = 'viewer' | 'agent' | 'admin' | 'owner';

/** Whoever is signed in. */
export interface Me {
  id: string;
  email?: string | null;
  name?: string | null;
  role: Role;
  /** The platform's own people may choose a tenant. */
  platform: boolean;
  tenant: TenantName;
  tenants: TenantName[];
}

export interface TenantName { id: string; name: string }
