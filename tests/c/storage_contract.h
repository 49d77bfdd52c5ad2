/*
 * storage_contract.h - what must be true of every storage whose functions an author writes.
 *
 * To try one's own: write a function that makes a fresh storage, and a main that calls check_begin(),
 * storage_contract() and check_end(); test_storage_contract.c is one. The functions are called both by
 * libibt and directly.
 */
#ifndef STORAGE_CONTRACT_H
#define STORAGE_CONTRACT_H

#include "check.h"

/* A storage and the functions that were set in it. */
struct contract_storage {
    ibt_storage *storage;
    void *ud; /* what its functions are given */
    ibt_create_fn create;
    ibt_write_fn write;
    ibt_commit_fn commit;
    ibt_abort_fn abort;
    ibt_read_at_fn read_at;
    ibt_delete_fn remove; /* NULL if it has none; so are the next two */
    ibt_lock_fn lock;
    ibt_unlock_fn unlock;
};

/* Makes an empty storage, which the contract frees with ibt_storage_free(). */
typedef void (*contract_make_fn)(struct contract_storage *made);

/* Checks every rule. Each that does not hold is printed and counts as a failed check. */
void storage_contract(contract_make_fn make);

#endif
