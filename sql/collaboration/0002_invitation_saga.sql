-- An invitation is made in steps (collaboration_invitation_saga.c): 'pending' until the quota is reserved, 'sending'
-- while its mail is on its way, which can be accepted already, 'sent' when notification says so. What the saga takes
-- back is 'cancelled', with the reason. The code exists from 'sending' on.
alter table invitations alter column token_hash drop not null,
    add column reason text,
    add column saga_id uuid;
alter table invitations drop constraint invitations_status_check;
alter table invitations add constraint invitations_status_check
    check (status in ('pending', 'sending', 'sent', 'accepted', 'cancelled'));
