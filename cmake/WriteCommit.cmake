# cmake -DSOURCE=dir -DTEMPLATE=file -DRESULT=file -P WriteCommit.cmake
#
# Writes TEMPLATE to RESULT with SOURCE's commit where it says <commit>. Runs with every build; RESULT
# keeps its time where nothing has changed, so nothing is compiled again.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
  set(commit unknown)
endif()
file(READ ${TEMPLATE} text)
string(REPLACE "<commit>" "${commit}" text "${text}")
file(CONFIGURE OUTPUT ${RESULT} CONTENT "${text}" @ONLY)
