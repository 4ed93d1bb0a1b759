	.section .rodata
	.globl kind_builtin_text
	.globl kind_builtin_end
	.type kind_builtin_text, @object
	.balign 16
kind_builtin_text:
	.incbin KIND_BUILTIN_FILE
kind_builtin_end:
	.byte 0
	.size kind_builtin_text, . - kind_builtin_text
	.section .note.GNU-stack, "", @progbits
