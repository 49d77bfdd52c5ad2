/*
 * storage_contract.h - the rules for every storage that is made of a caller's functions.
 *
 * To test a storage, write a function that makes a new one, and a main() that calls check_begin(),
 * storage_contract() and check_end(). An example is test_storage_contract.c. The functions of the
 * storage are called both by libibt and directly.
 */
#ifndef STORAGE_CONTRACT_H
#define STORAGE_CONTRACT_H

#include "check.h"

/* A storage and the functions that were set in it. */
struct contract_storage {
    ibt_storage *storage;
    void *ud; /* the first argument of its functions */
    ibt_create_fn create;
    ibt_write_fn write;
    ibt_commit_fn commit;
    ibt_abort_fn abort;
    ibt_read_at_fn read_at;
    ibt_delete_fn remove; /* NULL if the storage has none, like the next two */
    ibt_lock_fn lock;
    ibt_unlock_fn unlock;
};

/* Makes an empty storage, which the contract frees with ibt_storage_free(). */
typedef void (*contract_make_fn)(struct contract_storage *made);

/* Checks every rule. A rule that does not hold is printed, and counts as a failed check. */
void storage_contract(contract_make_fn make);

#endif
