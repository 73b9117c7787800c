"""Why a vault is not open, in words a person can use: one table, reason -> error, sentence, remedy.

Knows words, and no file or key. A remedy is a command to paste; the only things filled into it are
the vault's own paths, quoted for a shell.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import NamedTuple

from credd.errors import CreddError, Locked, LoginRequired, Misconfigured

ACCEPT = "credd-ctl vault accept"
REKEY = "credd-ctl vault rekey"
REWRAP = "credd-ctl vault rewrap --help"
STATUS = "credd-ctl status"
VERIFY = "credd-ctl vault verify"

UNLOCK = "credd-ctl unlock"
"""Asks for what is missing, and makes the daemon look again at once."""

LOGIN = "credd-ctl login"
SET_ASIDE = "credd-ctl vault reset"
"""Nothing is erased: a backup, or a later credd, may still read it. Then one logs in again."""


class Row(NamedTuple):
    """What is raised for a reason. `{vault}`, `{folder}` and `{key}` are filled in."""

    error: type[CreddError]
    detail: str
    remedy: str = ""


REASONS: dict[str, Row] = {
    # --- there is none, or it can't be made
    "no_vault": Row(LoginRequired, "there is no vault yet: nobody has logged in", LOGIN),
    "vault_exists": Row(Misconfigured, "there is a vault already: {vault}", UNLOCK),
    "vault_key_undecided": Row(
        Misconfigured,
        "no systemd credential and no usable keyring: choose a key file (restarts unattended;"
        " protects copied backups, not against this account) or a passphrase (someone must unlock"
        " after each restart)",
        LOGIN,
    ),
    "key_source_unknown": Row(Misconfigured, "no such key source for a vault", LOGIN),
    "key_folder_open": Row(Misconfigured, "others can write to the folder of {key}"),
    "key_beside_vault": Row(Misconfigured, "the key file may not lie beside the vault: {key}"),
    "passphrase_empty": Row(Misconfigured, "an empty passphrase protects nothing", LOGIN),
    # --- it is there, and its key is not
    "closed": Row(Locked, "the vault is closed", UNLOCK),
    "passphrase_needed": Row(Locked, "the vault is sealed with a passphrase", UNLOCK),
    "wrong_passphrase": Row(Locked, "that is not the vault's passphrase", UNLOCK),
    "no_passphrase_set": Row(Locked, "this vault's key is not a passphrase", STATUS),
    "recovery_code_needed": Row(
        Locked,
        "no passphrase opens this vault; its recovery code does",
        "credd-ctl unlock --recovery-code-stdin",
    ),
    "recovery_code_malformed": Row(
        Locked, "that is no recovery code", "credd-ctl unlock --recovery-code-stdin"
    ),
    "wrong_recovery_code": Row(
        Locked, "that is not the vault's recovery code", "credd-ctl unlock --recovery-code-stdin"
    ),
    "no_recovery_code_set": Row(Locked, "this vault has no recovery code", UNLOCK),
    "no_known_source": Row(Locked, "this credd knows none of the vault's key sources"),
    "keyring_locked": Row(Locked, "the keyring is locked", UNLOCK),
    "keyring_absent": Row(Locked, "no keyring that encrypts answers in this session", UNLOCK),
    "keyring_failed": Row(Locked, "the keyring failed to answer", UNLOCK),
    "keyring_no_answer": Row(Locked, "the keyring does not answer", UNLOCK),
    "keyring_key_missing": Row(Locked, "the keyring no longer holds the vault's key", UNLOCK),
    "keyring_key_short": Row(Locked, "the keyring's entry is too short for a key", UNLOCK),
    "keyring_key_long": Row(Locked, "the keyring's entry is too long for a key", UNLOCK),
    "keyring_other_key": Row(Locked, "the keyring holds another key than the vault's", UNLOCK),
    "systemd_key_missing": Row(Locked, "systemd handed over no credential credd-key", UNLOCK),
    "systemd_key_unreadable": Row(Locked, "the credential credd-key can't be read", UNLOCK),
    "systemd_key_short": Row(Locked, "the credential credd-key is too short for a key", UNLOCK),
    "systemd_key_long": Row(Locked, "the credential credd-key is too long for a key", UNLOCK),
    "systemd_other_key": Row(Locked, "credd-key is another key than the vault's", UNLOCK),
    "file_key_missing": Row(Locked, "the key file is not there: {key}", UNLOCK),
    "file_key_unreadable": Row(Locked, "the key file can't be read: {key}", "ls -l {key}"),
    "file_key_short": Row(Locked, "the key file is empty or cut off: {key}", "ls -l {key}"),
    "file_key_long": Row(Locked, "the key file holds more than a key: {key}", "ls -l {key}"),
    "file_key_symlink": Row(Locked, "the key file is a symbolic link: {key}", "ls -l {key}"),
    "file_key_not_a_file": Row(Locked, "the key file is no plain file: {key}", "ls -l {key}"),
    "file_key_hard_linked": Row(Locked, "the key file has a second name: {key}", "ls -l {key}"),
    "file_key_foreign_owner": Row(Locked, "the key file is not ours: {key}", "ls -l {key}"),
    "file_key_open_to_others": Row(Locked, "others can read the key file", "chmod 600 {key}"),
    "file_other_key": Row(Locked, "the key file holds another key: {key}", "ls -l {key}"),
    # --- it is open, and can't be changed like that; it was not changed
    "restored_copy": Row(Misconfigured, "this vault is a copy that nobody has accepted", ACCEPT),
    "recovery_code_alone": Row(
        Misconfigured, "with a recovery code alone, every start would need it", REWRAP
    ),
    "records_damaged": Row(Misconfigured, "the vault holds damaged records", VERIFY),
    "not_saved_yet": Row(Misconfigured, "a rotated token is not saved in the vault yet", STATUS),
    "replaced": Row(
        Misconfigured, "another file lies in the vault's place: {vault}", "mv {vault} {vault}.other"
    ),
    # --- it is there, and can't be used; it was not changed
    "newer": Row(Misconfigured, "the vault was made by a newer credd", "pipx upgrade credd"),
    "empty": Row(Misconfigured, "the vault's file is empty: {vault}", SET_ASIDE),
    "truncated": Row(Misconfigured, "the vault's file is cut off: {vault}", SET_ASIDE),
    "damaged": Row(Misconfigured, "the vault's file is damaged: {vault}", SET_ASIDE),
    "header_damaged": Row(Misconfigured, "the vault's header is damaged: {vault}", SET_ASIDE),
    "names_damaged": Row(Misconfigured, "the vault's list of names is damaged", SET_ASIDE),
    "not_a_database": Row(Misconfigured, "this is no vault: {vault}", SET_ASIDE),
    "not_a_vault": Row(Misconfigured, "this is another program's database: {vault}", SET_ASIDE),
    "database_missing": Row(Misconfigured, "only the log of a vault is there", SET_ASIDE),
    "read_only": Row(Misconfigured, "the vault's disk can't be written to", "ls -ld {folder}"),
    "disk_full": Row(Misconfigured, "the vault's disk is full", "df -h {folder}"),
    "io": Row(Misconfigured, "the vault's disk reports errors", "df -h {folder}"),
    "symlink": Row(Misconfigured, "a file of the vault is a symbolic link", "ls -l {folder}"),
    "not_a_file": Row(Misconfigured, "a file of the vault is no plain file", "ls -l {folder}"),
    "hard_linked": Row(Misconfigured, "a file of the vault has a second name", "ls -l {folder}"),
    "foreign_owner": Row(Misconfigured, "a file of the vault is not ours", "ls -l {folder}"),
    "open_to_others": Row(Misconfigured, "others can read the vault", "chmod 600 {vault}*"),
    "not_a_folder": Row(Misconfigured, "the vault's folder is none", "ls -ld {folder}"),
    "foreign_folder": Row(Misconfigured, "the vault's folder is not ours", "ls -ld {folder}"),
    "open_folder": Row(Misconfigured, "others can write to {folder}", "chmod 700 {folder}"),
}


FOUND: dict[str, str] = {
    "edited_name": "somebody has written a name that no credential can have",
    "edited_number": "somebody has changed its number",
    "flipped": "some of its bytes were changed",
    "kept": "a damaged record of before is kept here",
    "lost": "it is in the index, and its record is gone",
    "missing": "the file was removed while the daemon had it open",
    "not_saved_yet": "it waits outside of the vault, sealed, because the disk refused it",
    "not_sealed": "this is nothing that credd has sealed",
    "other_key": "it is sealed under another key",
    "restored_copy": "this vault is a copy; nothing that rotates is spent from it",
    "swapped": "it was sealed as something else",
    "truncated": "it is cut off",
    "under_way": "a refresh is under way, or its reply was lost",
    "unknown_version": "a newer credd has sealed it",
    "unlisted": "somebody has put back an old record",
    "unreadable": "it can't be read from the file",
}
"""What a look at a vault's parts finds (checking.py), where no row of REASONS says it."""

ASK_PERSON = frozenset({"passphrase_needed", "recovery_code_needed"})


def explain(part: str, name: str, reason: str, vault: Path, key_file: Path) -> tuple[str, str]:
    """What was found at a part of the vault, in words, and a command to paste, or ""."""
    if reason in ASK_PERSON:
        return "it was not tried: only a person has it", ""
    if reason in FOUND and not (part == "file" and reason in REASONS):
        return FOUND[reason], _remedy_of_part(part, name)
    if not reason:
        return "", ""
    error = problem(reason, vault, key_file)
    return error.detail, error.remedy


def _remedy_of_part(part: str, name: str) -> str:
    """What is remembered is whole, so a vault's own part is mended by writing all of it anew."""
    if part in ("file", "header", "index"):
        return REKEY
    if part == "identity":
        return ACCEPT
    return f"credd-ctl login {name}" if part == "record" and name else ""


def problem(reason: str, vault: Path, key_file: Path) -> CreddError:
    """The error to raise for a reason; a reason without a row is a fault of ours."""
    row = REASONS.get(reason)
    if row is None:
        return CreddError(f"the vault is not open: {reason}", reason=reason)
    plain = {"vault": str(vault), "folder": str(vault.parent), "key": str(key_file)}
    quoted = {field: quote(path) for field, path in plain.items()}
    return row.error(row.detail.format(**plain), remedy=row.remedy.format(**quoted), reason=reason)
