/* builtin - the AlertRules that are there without anybody having written one. */
#ifndef BUILTIN_H
#define BUILTIN_H

/* As JSON, and their keys; [0] of a cluster, [1] of the fleet. */
extern const char *const builtin_rules[2];
extern const char *const builtin_keys[2];

#endif
