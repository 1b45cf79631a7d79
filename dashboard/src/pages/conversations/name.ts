// What people call a customer.
import type { Conversation } from '../../api/types';

export const nameOf = (contact: Conversation['contact']) => contact.name ?? (contact.phone ? `+${contact.phone}` : null);
