// Mantine's looks on the router's links, with their addresses checked by type.
import { Anchor, Button, type AnchorProps, type ButtonProps } from '@mantine/core';
import { createLink } from '@tanstack/react-router';
import type { AnchorHTMLAttributes, Ref } from 'react';

type Attributes<Props> = Omit<AnchorHTMLAttributes<HTMLAnchorElement>, keyof Props> & Props & { ref?: Ref<HTMLAnchorElement> };

export const LinkAnchor = createLink((props: Attributes<AnchorProps>) => <Anchor {...props} />);
export const LinkButton = createLink((props: Attributes<ButtonProps>) => <Button component="a" {...props} />);
